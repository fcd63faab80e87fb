// The functions of cuDNN that a program calls.
#include "cudnn.h"
#include "stand_in.h"

namespace stand_in {

/// Alpha and beta are f32 for f32 and bf16 tensors alike.
static float scale(const void* factor) { return *static_cast<const float*>(factor); }

extern "C" {

size_t cudnnGetVersion() { return 92100; }
size_t cudnnGetCudartVersion() { return 13000; }
Status cudnnOpsVersionCheck() { return OK; }
Status cudnnCnnVersionCheck() { return OK; }
Status cudnnAdvVersionCheck() { return OK; }

const char* cudnnGetErrorString(Status status) {
    switch (status) {
        case OK: return "CUDNN_STATUS_SUCCESS";
        case NOT_READY_TO_USE: return "CUDNN_STATUS_NOT_INITIALIZED";
        case BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
        default: return "CUDNN_STATUS_NOT_SUPPORTED";
    }
}

Status cudnnCreate(Handle** handle) {
    if (current_card() < 0) {
        return refuse("cudnnCreate", "no current context", NOT_READY_TO_USE);
    }
    *handle = new Handle;
    return OK;
}

Status cudnnDestroy(Handle* handle) {
    delete handle;
    return OK;
}

Status cudnnSetStream(Handle* handle, void* stream) {
    handle->stream = stream;
    return OK;
}

Status cudnnCreateTensorDescriptor(Tensor** tensor) {
    *tensor = new Tensor;
    return OK;
}

Status cudnnDestroyTensorDescriptor(Tensor* tensor) {
    delete tensor;
    return OK;
}

Status cudnnSetTensorNdDescriptor(Tensor* tensor, int type, int rank, const int* dims, const int* strides) {
    return fill_shape(*tensor, type, rank, dims, strides);
}

Status cudnnSetTensorNdDescriptorEx(Tensor* tensor, int format, int type, int rank, const int* dims) {
    return fill_packed(*tensor, type, format, rank, dims);
}

Status cudnnSetTensor4dDescriptor(Tensor* tensor, int format, int type, int n, int c, int h, int w) {
    const int dims[] = {n, c, h, w};
    return fill_packed(*tensor, type, format, 4, dims);
}

Status cudnnSetTensor4dDescriptorEx(Tensor* tensor, int type, int n, int c, int h, int w, int ns, int cs, int hs, int ws) {
    const int dims[] = {n, c, h, w}, strides[] = {ns, cs, hs, ws};
    return fill_shape(*tensor, type, 4, dims, strides);
}

Status cudnnCreateFilterDescriptor(Filter** filter) {
    *filter = new Filter;
    return OK;
}

Status cudnnDestroyFilterDescriptor(Filter* filter) {
    delete filter;
    return OK;
}

Status cudnnSetFilterNdDescriptor(Filter* filter, int type, int format, int rank, const int* dims) {
    filter->format = static_cast<Format>(format);
    return fill_packed(*filter, type, format, rank, dims);
}

Status cudnnSetFilter4dDescriptor(Filter* filter, int type, int format, int k, int c, int h, int w) {
    const int dims[] = {k, c, h, w};
    return cudnnSetFilterNdDescriptor(filter, type, format, 4, dims);
}

Status cudnnCreateConvolutionDescriptor(Convolution** convolution) {
    *convolution = new Convolution;
    return OK;
}

Status cudnnDestroyConvolutionDescriptor(Convolution* convolution) {
    delete convolution;
    return OK;
}

Status cudnnSetConvolutionNdDescriptor(Convolution* c, int rank, const int* pads, const int* strides, const int* dilations, int mode, int compute) {
    if (rank < 2 || rank > 3) {
        return refuse("cudnnSetConvolutionNdDescriptor", "only 2 and 3 lengths are part of the stand-in", UNSUPPORTED);
    }
    c->given_rank = rank;
    c->cross_correlation = mode == 1;
    c->compute = static_cast<DataType>(compute);
    for (int i = 0; i < rank; i++) {
        if (pads[i] < 0 || strides[i] < 1 || dilations[i] < 1) {
            return refuse("cudnnSetConvolutionNdDescriptor", "a negative padding, or a stride or dilation below one");
        }
        c->pads[i + 3 - rank] = pads[i];
        c->strides[i + 3 - rank] = strides[i];
        c->dilations[i + 3 - rank] = dilations[i];
    }
    c->set = true;
    return OK;
}

Status cudnnSetConvolution2dDescriptor(Convolution* c, int pad_h, int pad_w, int stride_h, int stride_w, int dilation_h, int dilation_w, int mode,
                                       int compute) {
    const int pads[] = {pad_h, pad_w}, strides[] = {stride_h, stride_w}, dilations[] = {dilation_h, dilation_w};
    return cudnnSetConvolutionNdDescriptor(c, 2, pads, strides, dilations, mode, compute);
}

Status cudnnSetConvolutionMathType(Convolution*, int) { return OK; }

Status cudnnSetConvolutionGroupCount(Convolution* c, int groups) {
    c->groups = groups;
    return groups < 1 ? refuse("cudnnSetConvolutionGroupCount", "less than one group") : OK;
}

Status cudnnGetConvolutionForwardAlgorithm_v7(Handle*, const Tensor* x, const Filter* w, const Convolution* c, const Tensor* y, int wanted,
                                              int* returned, Performance* results) {
    return list_algorithms("cudnnGetConvolutionForwardAlgorithm_v7", x, w, c, y, FORWARD, wanted, returned, results);
}

Status cudnnGetConvolutionBackwardDataAlgorithm_v7(Handle*, const Filter* w, const Tensor* dy, const Convolution* c, const Tensor* dx, int wanted,
                                                   int* returned, Performance* results) {
    return list_algorithms("cudnnGetConvolutionBackwardDataAlgorithm_v7", dx, w, c, dy, DATA, wanted, returned, results);
}

Status cudnnGetConvolutionBackwardFilterAlgorithm_v7(Handle*, const Tensor* x, const Tensor* dy, const Convolution* c, const Filter* dw, int wanted,
                                                     int* returned, Performance* results) {
    return list_algorithms("cudnnGetConvolutionBackwardFilterAlgorithm_v7", x, dw, c, dy, FILTER, wanted, returned, results);
}

Status cudnnGetConvolutionForwardWorkspaceSize(Handle*, const Tensor* x, const Filter* w, const Convolution* c, const Tensor* y, int algorithm,
                                               size_t* bytes) {
    return tell_workspace("cudnnGetConvolutionForwardWorkspaceSize", x, w, c, y, FORWARD, algorithm, bytes);
}

Status cudnnGetConvolutionBackwardDataWorkspaceSize(Handle*, const Filter* w, const Tensor* dy, const Convolution* c, const Tensor* dx,
                                                    int algorithm, size_t* bytes) {
    return tell_workspace("cudnnGetConvolutionBackwardDataWorkspaceSize", dx, w, c, dy, DATA, algorithm, bytes);
}

Status cudnnGetConvolutionBackwardFilterWorkspaceSize(Handle*, const Tensor* x, const Tensor* dy, const Convolution* c, const Filter* dw,
                                                      int algorithm, size_t* bytes) {
    return tell_workspace("cudnnGetConvolutionBackwardFilterWorkspaceSize", x, dw, c, dy, FILTER, algorithm, bytes);
}

Status cudnnConvolutionForward(Handle* handle, const void* alpha, const Tensor* x, const void* x_data, const Filter* w, const void* w_data,
                               const Convolution* c, int algorithm, void* workspace, size_t bytes, const void* beta, const Tensor* y, void* y_data) {
    const Call call = {"cudnnConvolutionForward", handle, FORWARD, algorithm, {workspace, bytes}, scale(alpha), scale(beta)};
    return convolve(call, x, x_data, w, w_data, c, y, y_data);
}

Status cudnnConvolutionBackwardData(Handle* handle, const void* alpha, const Filter* w, const void* w_data, const Tensor* dy, const void* dy_data,
                                    const Convolution* c, int algorithm, void* workspace, size_t bytes, const void* beta, const Tensor* dx,
                                    void* dx_data) {
    const Call call = {"cudnnConvolutionBackwardData", handle, DATA, algorithm, {workspace, bytes}, scale(alpha), scale(beta)};
    return convolve(call, dx, dx_data, w, w_data, c, dy, dy_data);
}

Status cudnnConvolutionBackwardFilter(Handle* handle, const void* alpha, const Tensor* x, const void* x_data, const Tensor* dy, const void* dy_data,
                                      const Convolution* c, int algorithm, void* workspace, size_t bytes, const void* beta, const Filter* dw,
                                      void* dw_data) {
    const Call call = {"cudnnConvolutionBackwardFilter", handle, FILTER, algorithm, {workspace, bytes}, scale(alpha), scale(beta)};
    return convolve(call, x, x_data, dw, dw_data, c, dy, dy_data);
}

Status cudnnAddTensor(Handle* handle, const void* alpha, const Tensor* a, const void* a_data, const void* beta, const Tensor* c, void* c_data) {
    return add_tensor(handle, scale(alpha), *a, a_data, scale(beta), *c, c_data);
}

Status cudnnConvolutionBackwardBias(Handle* handle, const void* alpha, const Tensor* dy, const void* dy_data, const void* beta, const Tensor* db,
                                    void* db_data) {
    return sum_bias(handle, scale(alpha), *dy, dy_data, scale(beta), *db, db_data);
}

}  // extern "C"
}  // namespace stand_in
