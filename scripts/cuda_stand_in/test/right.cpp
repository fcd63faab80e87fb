// Programs that are right have to give right results.
#include <cmath>
#include <cstring>
#include <numeric>

#include "card.h"
#include "kernels.h"

static void vector_add() {
    const size_t count = 1000;
    const auto a = some_numbers(count, 1), b = some_numbers(count, 2);
    const uint64_t device_a = device_copy(a), device_b = device_copy(b), device_c = device_bytes(4 * count);
    launch(kernel(ADD, "add"), {8, 128}, new_stream(), device_a, device_b, device_c, static_cast<int>(count));
    const auto c = host_copy<float>(device_c, count);
    for (size_t i = 0; i < count; i++) {
        expect(c[i] == a[i] + b[i], "vector add");
    }
    for (uint64_t address : {device_a, device_b, device_c}) {
        must(cuMemFree_v2(address), "cuMemFree");
    }
}

static void block_sum() {
    const auto a = some_numbers(4 * 256, 3);
    const uint64_t device_a = device_copy(a), sums = device_bytes(4 * 4);
    launch(kernel(BLOCK_SUM, "block_sum"), {4, 256, 1024}, new_stream(), device_a, sums, 0);
    const auto found = host_copy<float>(sums, 4);
    for (size_t block = 0; block < 4; block++) {
        expect(found[block] == std::accumulate(a.begin() + 256 * block, a.begin() + 256 * (block + 1), 0.0f), "block sum");
    }
}

static void warp() {
    const auto a = some_numbers(64, 4);
    const uint64_t device_a = device_copy(a), out = device_bytes(64 * 16);
    launch(kernel(WARP, "warp"), {1, 64}, new_stream(), device_a, out);
    const auto found = host_copy<float>(out, 64 * 4);
    for (size_t t = 0; t < 64; t++) {
        const auto first = a.begin() + t / 32 * 32;
        const float sum = std::accumulate(first, first + 32, 0.0f);
        expect(found[4 * t] == sum && found[4 * t + 2] == sum, "warp sums");
        expect(found[4 * t + 1] == first[3] && found[4 * t + 3] == 11, "warp broadcast and ballot");
    }
}

static uint16_t bf16(float value) {
    uint32_t word;
    memcpy(&word, &value, 4);
    return static_cast<uint16_t>(word >> 16);
}

static void expect_product(const std::vector<float>& a, const std::vector<float>& b, size_t depth, float start, const std::vector<float>& d, const char* what) {
    for (size_t row = 0; row < 16; row++) {
        for (size_t column = 0; column < 8; column++) {
            float sum = start;
            for (size_t k = 0; k < depth; k++) {
                sum += a[row * depth + k] * b[k * 8 + column];
            }
            expect(d[row * 8 + column] == sum, what);
        }
    }
}

static void mma() {
    const auto a = some_numbers(16 * 16, 5), b = some_numbers(16 * 8, 6);
    std::vector<uint16_t> half_a, half_b;
    for (float v : a) half_a.push_back(bf16(v));
    for (float v : b) half_b.push_back(bf16(v));
    const uint64_t device_a = device_copy(half_a), device_b = device_copy(half_b), d = device_bytes(16 * 8 * 4);
    for (int by_hand : {0, 1}) {
        launch(kernel(MMA_BF16, "mma_bf16"), {1, 32, 2 * 16 * 16 * 2}, new_stream(), device_a, device_b, d, by_hand);
        expect_product(a, b, 16, 1, host_copy<float>(d, 16 * 8), by_hand != 0 ? "bf16 product" : "bf16 product with ldmatrix");
    }
    const std::vector<float> short_a(a.begin(), a.begin() + 16 * 8), short_b(b.begin(), b.begin() + 8 * 8);
    launch(kernel(MMA_TF32, "mma_tf32"), {1, 32}, new_stream(), device_copy(short_a), device_copy(short_b), d);
    expect_product(short_a, short_b, 8, 0, host_copy<float>(d, 16 * 8), "tf32 product");
}

static void copy_async() {
    const auto a = some_numbers(256, 7);
    const uint64_t device_a = device_copy(a), b = device_bytes(1024);
    launch(kernel(COPY_ASYNC, "copy_async"), {1, 64, 1024}, new_stream(), device_a, b, 1);
    const auto found = host_copy<float>(b, 256);
    for (size_t i = 0; i < 256; i++) {
        const size_t from = 4 * (63 - i / 4) + i % 4;
        expect(found[i] == (from < 252 ? 2 * a[from] : 0), "asynchronous copies");
    }
}

/// Atomics, neighbouring halves of a word, and lanes ordered by __syncwarp are no races.
static void no_races() {
    const uint64_t sum = device_copy(std::vector<float>{0}), halves = device_bytes(2 * 128), a = device_copy(some_numbers(64, 11));
    launch(kernel(RACES, "counted"), {2, 64}, new_stream(), sum, halves);
    launch(kernel(RACES, "lanes"), {1, 64, 256}, new_stream(), a, 1);
    expect(host_copy<float>(sum, 1)[0] == 128, "atomic sum");
}

static void streams_and_events() {
    void *first = new_stream(), *second = new_stream(), *event;
    must(cuEventCreate(&event, 2), "cuEventCreate");
    const std::vector<float> ones(64, 1.0f);
    std::vector<float> result(64, 0.0f);
    uint64_t a, b;
    must(cuMemAllocAsync(&a, 256, first), "cuMemAllocAsync");
    must(cuMemAllocAsync(&b, 256, second), "cuMemAllocAsync");
    must(cuMemcpyHtoDAsync_v2(a, ones.data(), 256, first), "cuMemcpyHtoDAsync");
    must(cuEventRecord(event, first), "cuEventRecord");
    must(cuStreamWaitEvent(second, event, 0), "cuStreamWaitEvent");
    launch(kernel(ADD, "add"), {1, 64}, second, a, a, b, 64);
    must(cuEventRecord(event, second), "cuEventRecord");
    must(cuStreamWaitEvent(first, event, 0), "cuStreamWaitEvent");
    must(cuMemFreeAsync(a, first), "cuMemFreeAsync");
    must(cuMemcpyDtoHAsync_v2(result.data(), b, 256, second), "cuMemcpyDtoHAsync");
    must(cuStreamSynchronize(second), "cuStreamSynchronize");
    expect(result == std::vector<float>(64, 2.0f), "two streams with an event");
    must(cuMemFreeAsync(b, second), "cuMemFreeAsync");
    must(cuCtxSynchronize(), "cuCtxSynchronize");
    size_t free, total;
    must(cuMemGetInfo_v2(&free, &total), "cuMemGetInfo");
    expect(cuMemAlloc_v2(&a, free + 1) == OUT_OF_MEMORY, "more than the card has");
}

// Convolutions by the identities <y, conv(x, w)> = <data(y, w), x> = <filter(x, y), w>, exact for small whole numbers.
struct Problem {
    const char* name;
    int x[5], w[5], y[5], pads[3], strides[3], dilations[3], groups, format;
};

static void* tensor(const int* dims, int format) {
    void* descriptor;
    int strides[5];
    strides[4] = format == 1 ? dims[1] : 1;
    strides[3] = strides[4] * dims[4];
    strides[2] = strides[3] * dims[3];
    strides[1] = format == 1 ? 1 : strides[2] * dims[2];
    strides[0] = dims[1] * dims[2] * dims[3] * dims[4];
    must(cudnnCreateTensorDescriptor(&descriptor), "cudnnCreateTensorDescriptor");
    must(cudnnSetTensorNdDescriptor(descriptor, 0, 5, dims, strides), "cudnnSetTensorNdDescriptor");
    return descriptor;
}

static size_t volume(const int* dims) { return static_cast<size_t>(dims[0]) * dims[1] * dims[2] * dims[3] * dims[4]; }

static double product(const std::vector<float>& a, const std::vector<float>& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

static void convolution(const Problem& p) {
    void *handle, *w_descriptor, *c;
    must(cudnnCreate(&handle), "cudnnCreate");
    must(cudnnSetStream(handle, new_stream()), "cudnnSetStream");
    void *x_descriptor = tensor(p.x, p.format), *y_descriptor = tensor(p.y, p.format);
    must(cudnnCreateFilterDescriptor(&w_descriptor), "cudnnCreateFilterDescriptor");
    must(cudnnSetFilterNdDescriptor(w_descriptor, 0, p.format, 5, p.w), "cudnnSetFilterNdDescriptor");
    must(cudnnCreateConvolutionDescriptor(&c), "cudnnCreateConvolutionDescriptor");
    must(cudnnSetConvolutionNdDescriptor(c, 3, p.pads, p.strides, p.dilations, 1, 0), "cudnnSetConvolutionNdDescriptor");
    must(cudnnSetConvolutionGroupCount(c, p.groups), "cudnnSetConvolutionGroupCount");
    const auto x = some_numbers(volume(p.x), 8), w = some_numbers(volume(p.w), 9), y = some_numbers(volume(p.y), 10);
    const uint64_t on_x = device_copy(x), on_w = device_copy(w), on_y = device_copy(y);
    const uint64_t out = device_bytes(4 * y.size()), dx = device_bytes(4 * x.size()), dw = device_bytes(4 * w.size());
    const float one = 1, zero = 0;
    size_t bytes[3];
    must(cudnnGetConvolutionForwardWorkspaceSize(handle, x_descriptor, w_descriptor, c, y_descriptor, 1, &bytes[0]), "forward size");
    must(cudnnGetConvolutionBackwardDataWorkspaceSize(handle, w_descriptor, y_descriptor, c, x_descriptor, 1, &bytes[1]), "data size");
    must(cudnnGetConvolutionBackwardFilterWorkspaceSize(handle, x_descriptor, y_descriptor, c, w_descriptor, 1, &bytes[2]), "filter size");
    const uint64_t space[3] = {device_bytes(bytes[0]), device_bytes(bytes[1]), device_bytes(bytes[2])};
    must(cudnnConvolutionForward(handle, &one, x_descriptor, on_x, w_descriptor, on_w, c, 1, space[0], bytes[0], &zero, y_descriptor, out), "forward");
    must(cudnnConvolutionBackwardData(handle, &one, w_descriptor, on_w, y_descriptor, on_y, c, 1, space[1], bytes[1], &zero, x_descriptor, dx), "data");
    must(cudnnConvolutionBackwardFilter(handle, &one, x_descriptor, on_x, y_descriptor, on_y, c, 1, space[2], bytes[2], &zero, w_descriptor, dw), "filter");
    const double expected = product(y, host_copy<float>(out, y.size()));
    expect(expected != 0, std::string(p.name) + ": not trivial");
    expect(product(host_copy<float>(dx, x.size()), x) == expected, std::string(p.name) + ": backward data is the adjoint");
    expect(product(host_copy<float>(dw, w.size()), w) == expected, std::string(p.name) + ": backward filter is the adjoint");
}

/// By hand: three cells, a filter of three, padding one.
static void small_convolution() {
    const Problem p = {"by hand", {1, 1, 1, 1, 3}, {1, 1, 1, 1, 3}, {1, 1, 1, 1, 3}, {0, 0, 1}, {1, 1, 1}, {1, 1, 1}, 1, 0};
    void *handle, *w_descriptor, *c;
    must(cudnnCreate(&handle), "cudnnCreate");
    must(cudnnCreateFilterDescriptor(&w_descriptor), "filter");
    must(cudnnSetFilterNdDescriptor(w_descriptor, 0, 0, 5, p.w), "filter");
    must(cudnnCreateConvolutionDescriptor(&c), "convolution");
    must(cudnnSetConvolutionNdDescriptor(c, 3, p.pads, p.strides, p.dilations, 1, 0), "convolution");
    void *x = tensor(p.x, 0), *y = tensor(p.y, 0);
    const uint64_t out = device_copy(std::vector<float>{1, 1, 1}), bias = device_copy(std::vector<float>{5}), sum = device_bytes(4);
    size_t bytes;
    const float two = 2, ten = 10, one = 1, zero = 0;
    must(cudnnGetConvolutionForwardWorkspaceSize(handle, x, w_descriptor, c, y, 0, &bytes), "size");
    must(cudnnConvolutionForward(handle, &two, x, device_copy(std::vector<float>{1, 2, 3}), w_descriptor, device_copy(std::vector<float>{1, 10, 100}), c, 0,
                                 device_bytes(bytes), bytes, &ten, y, out), "forward");
    const int scalar[] = {1, 1, 1, 1, 1};
    must(cudnnAddTensor(handle, &one, tensor(scalar, 0), bias, &one, y, out), "cudnnAddTensor");
    must(cudnnConvolutionBackwardBias(handle, &one, y, out, &zero, tensor(scalar, 0), sum), "cudnnConvolutionBackwardBias");
    const std::vector<float> expected = {2 * 210 + 15, 2 * 321 + 15, 2 * 32 + 15};
    expect(host_copy<float>(out, 3) == expected, "convolution by hand, with alpha, beta and bias");
    expect(host_copy<float>(sum, 1)[0] == expected[0] + expected[1] + expected[2], "sum of the bias gradient");
}

int main() {
    open_card();
    vector_add();
    block_sum();
    warp();
    mma();
    copy_async();
    no_races();
    streams_and_events();
    small_convolution();
    convolution({"plain", {2, 3, 4, 5, 6}, {4, 3, 3, 3, 3}, {2, 4, 4, 5, 6}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, 1, 0});
    convolution({"NHWC", {2, 3, 4, 5, 6}, {4, 3, 3, 3, 3}, {2, 4, 4, 5, 6}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, 1, 1});
    convolution({"strided", {1, 2, 7, 5, 8}, {2, 2, 3, 2, 3}, {1, 2, 4, 4, 4}, {1, 0, 1}, {2, 1, 2}, {1, 1, 1}, 1, 0});
    convolution({"dilated groups", {1, 4, 5, 5, 7}, {6, 2, 3, 1, 3}, {1, 6, 3, 5, 5}, {1, 0, 1}, {1, 1, 1}, {2, 1, 2}, 2, 0});
    printf("all right\n");
    return 0;
}
