// What the parts of the stand-in cuDNN share.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace stand_in {

/// Batch, channel and up to three lengths; two-dimensional tensors get a depth of one, so that there is one code path.
constexpr int RANK = 5;

enum DataType : int { FLOAT = 0, BFLOAT16 = 9 };
enum Format : int { NCHW = 0, NHWC = 1 };

struct Tensor {
    bool set = false;
    DataType type = FLOAT;
    /// Dimensions as the program gave them: 4 or 5.
    int given_rank = 0;
    int dims[RANK] = {}, strides[RANK] = {};

    size_t elements() const;
    size_t element_bytes() const { return type == FLOAT ? 4 : 2; }
    /// Bytes from the first to the end of the last element.
    size_t span_bytes() const;
};

/// A filter is a tensor of (out channel, in channel, lengths) whose strides follow from its format.
struct Filter : Tensor {
    Format format = NCHW;
};

struct Convolution {
    bool set = false;
    int given_rank = 0;
    int pads[3] = {0, 0, 0}, strides[3] = {1, 1, 1}, dilations[3] = {1, 1, 1};
    bool cross_correlation = true;
    DataType compute = FLOAT;
    int groups = 1;
};

// cudnn_loops.cpp

/// The elements in the order of the dimensions, as f32.
std::vector<float> gather(const Tensor& tensor, const void* data);
/// data = alpha * values + beta * data; data is not read if beta is zero.
void scatter(const Tensor& tensor, void* data, const std::vector<float>& values, float alpha, float beta);

/// Extents of one convolution; x, w and y are packed.
struct Shape {
    int batch, in_channels, out_channels, groups;
    int in[3], out[3], kernel[3];
    Convolution convolution;
};

void forward(const Shape& shape, const std::vector<float>& x, const std::vector<float>& w, std::vector<float>& y);
void backward_data(const Shape& shape, std::vector<float>& dx, const std::vector<float>& w, const std::vector<float>& dy);
void backward_filter(const Shape& shape, const std::vector<float>& x, std::vector<float>& dw, const std::vector<float>& dy);

// cudnn_work.cpp

enum Status : int { OK = 0, NOT_READY_TO_USE = 1001, BAD_PARAM = 2000, UNSUPPORTED = 3000 };

struct Handle {
    void* stream = nullptr;
};

/// cuDNN says only which kind of error; the reason goes to stderr.
Status refuse(const char* call, const char* reason, Status status = BAD_PARAM);

Status fill_shape(Tensor& tensor, int type, int rank, const int* dims, const int* strides);
/// With strides without gaps, in the order of the format.
Status fill_packed(Tensor& tensor, int type, int format, int rank, const int* dims);

enum Direction { FORWARD, DATA, FILTER };

/// As cudnnConvolution*AlgoPerf_t.
struct Performance {
    int algorithm;
    Status status;
    float milliseconds;
    size_t memory;
    int determinism, math_type, reserved[3];
};

struct Workspace {
    void* data;
    size_t bytes;
};

struct Call {
    const char* name;
    Handle* handle;
    Direction direction;
    int algorithm;
    Workspace workspace;
    float alpha, beta;
};

Status list_algorithms(const char* call, const Tensor* x, const Filter* w, const Convolution* c, const Tensor* y, Direction direction, int wanted,
                       int* returned, Performance* results);
Status tell_workspace(const char* call, const Tensor* x, const Filter* w, const Convolution* c, const Tensor* y, Direction direction, int algorithm,
                      size_t* bytes);
Status convolve(const Call& call, const Tensor* x, const void* x_data, const Filter* w, const void* w_data, const Convolution* c, const Tensor* y,
                const void* y_data);
/// c = alpha * a + beta * c, where a has length one or c's length along every dimension.
Status add_tensor(Handle* handle, float alpha, const Tensor& a, const void* a_data, float beta, const Tensor& c, void* c_data);
/// db = alpha * (sums of dy over all but the channels) + beta * db.
Status sum_bias(Handle* handle, float alpha, const Tensor& dy, const void* dy_data, float beta, const Tensor& db, void* db_data);

}  // namespace stand_in
