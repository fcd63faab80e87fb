// Planted errors, one per run. Those a card would leave undefined end the process with a message; this program
// itself looks for the others, in an error code or in the result, and says so with "seen: ...".
#include <sys/mman.h>

#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

#include "card.h"
#include "kernels.h"

static void seen(const char* how) {
    printf("seen: %s\n", how);
    exit(0);
}

static void run(const char* name, uint64_t address, long long index, unsigned threads = 1) {
    launch(kernel(WRONG, name), {1, threads}, nullptr, address, index);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}

static uint64_t hundred() { return device_copy(std::vector<float>(100, 1.0f)); }

static void past_end() {
    const uint64_t a = hundred();
    launch(kernel(ADD, "add"), {1, 128}, nullptr, a, a, hundred(), 101);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void past_end_unaligned() { run("write_at", device_copy(std::vector<float>(99, 1.0f)), 99); }
static void product_overflow() {
    launch(kernel(WRONG, "product_index"), {1, 1}, nullptr, hundred(), 50000, 50000);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void far_index() { run("write_at", hundred(), 1ll << 40); }
static void before_start_write() { run("write_at", hundred(), -1); }
static void before_start_read() {
    const uint64_t out = device_bytes(4);
    launch(kernel(WRONG, "read_at"), {1, 1}, nullptr, hundred(), out, -1ll);
    if (std::isnan(host_copy<float>(out, 1)[0])) seen("the value read is poison");
}
static void negative_index() { run("write_at", hundred(), -2000); }

static void freed_argument() {
    const uint64_t a = hundred();
    must(cuMemFree_v2(a), "cuMemFree");
    run("write_at", a, 0);
}
static void freed_pointer_in_memory() {
    const uint64_t a = hundred(), pointer = device_copy(std::vector<uint64_t>{a});
    must(cuMemFree_v2(a), "cuMemFree");
    launch(kernel(WRONG, "follow"), {1, 1}, nullptr, pointer);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void copy_after_async_free() {
    float value;
    const uint64_t a = hundred();
    must(cuMemFreeAsync(a, nullptr), "cuMemFreeAsync");
    cuMemcpyDtoH_v2(&value, a, 4);
}
static void double_free() {
    const uint64_t a = hundred();
    must(cuMemFree_v2(a), "cuMemFree");
    cuMemFree_v2(a);
}
static void double_async_free() {
    const uint64_t a = hundred();
    must(cuMemFreeAsync(a, nullptr), "cuMemFreeAsync");
    cuMemFreeAsync(a, nullptr);
}
static void free_of_middle() { cuMemFree_v2(hundred() + 16); }
static void free_while_queued() {
    const uint64_t a = hundred();
    launch(kernel(WRONG, "write_at"), {1, 1}, new_stream(), a, 0ll);
    cuMemFree_v2(a);
}
static void async_free_without_event() {
    const uint64_t a = hundred();
    void* other = new_stream();
    launch(kernel(WRONG, "write_at"), {1, 1}, new_stream(), a, 0ll);
    must(cuMemFreeAsync(a, other), "cuMemFreeAsync");
    cuStreamSynchronize(other);
}

static void missing_barrier() {
    const auto a = some_numbers(256, 3);
    const uint64_t sums = device_bytes(4);
    launch(kernel(BLOCK_SUM, "block_sum"), {1, 256, 1024}, nullptr, device_copy(a), sums, 1);
    if (host_copy<float>(sums, 1)[0] != std::accumulate(a.begin(), a.end(), 0.0f)) seen("the sum is wrong or poison");
}
static void divergent_barrier() {
    launch(kernel(WRONG, "divergent"), {1, 32}, nullptr, hundred());
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void lane_missing() {
    launch(kernel(WRONG, "lane_missing"), {1, 32}, nullptr, hundred());
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void half_a_warp() {
    launch(kernel(MMA_BF16, "half_a_warp"), {1, 32}, nullptr, hundred());
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}

static void missing_synchronize() {
    void* stream = new_stream();
    std::vector<float> result(64, -1.0f);
    const uint64_t a = device_bytes(256);
    launch(kernel(ADD, "fill"), {1, 64}, stream, a, 3.0f);
    must(cuMemcpyDtoHAsync_v2(result.data(), a, 256, stream), "cuMemcpyDtoHAsync");
    if (result[0] == -1.0f) seen("the host still has its old numbers");
}
static void streams_without_event() {
    void *first = new_stream(), *second = new_stream();
    std::vector<float> result(64, -1.0f);
    const uint64_t a = device_bytes(256);
    launch(kernel(ADD, "fill"), {1, 64}, first, a, 3.0f);
    must(cuMemcpyDtoHAsync_v2(result.data(), a, 256, second), "cuMemcpyDtoHAsync");
    must(cuStreamSynchronize(second), "cuStreamSynchronize");
    if (std::isnan(result[0])) seen("the second stream read poison");
}
static void default_stream_copy_without_wait() {
    float result = -1;
    const uint64_t a = device_bytes(256);
    launch(kernel(ADD, "fill"), {1, 64}, new_stream(), a, 3.0f);
    must(cuMemcpyDtoH_v2(&result, a, 4), "cuMemcpyDtoH");
    if (std::isnan(result)) seen("a synchronous copy does not wait for a non-blocking stream");
}
static void reused_host_buffer() {
    void* stream = new_stream();
    std::vector<float> numbers(64, 1.0f);
    const uint64_t a = device_bytes(256);
    must(cuMemcpyHtoDAsync_v2(a, numbers.data(), 256, stream), "cuMemcpyHtoDAsync");
    numbers.assign(64, 2.0f);
    if (host_copy<float>(a, 64)[0] == 2.0f) seen("the card has the second numbers");
}

static void shared_past(int past) {
    launch(kernel(WRONG, "shared_past"), {1, 32, 128}, nullptr, hundred(), past);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void shared_one_past() { shared_past(1); }
static void shared_before() { shared_past(-1); }
static void too_much_shared() {
    void* function = kernel(WRONG, "shared_past");
    const bool usual = try_launch(function, {1, 32, 49 << 10}, nullptr, hundred(), 0) == INVALID_VALUE;
    must(cuFuncSetAttribute(function, 8, 163 << 10), "cuFuncSetAttribute");
    must(try_launch(function, {1, 32, 163 << 10}, nullptr, hundred(), 0), "the limit itself");
    if (usual && cuFuncSetAttribute(function, 8, (163 << 10) + 1) == INVALID_VALUE) seen("CUDA_ERROR_INVALID_VALUE");
}
static void too_many_threads() {
    const bool by_card = try_launch(kernel(ADD, "add"), {1, 1025}, nullptr, hundred(), hundred(), hundred(), 1) == INVALID_VALUE;
    const bool by_bounds = try_launch(kernel(ADD, "fill"), {1, 65}, nullptr, hundred(), 1.0f) == INVALID_VALUE;
    if (by_card && by_bounds) seen("CUDA_ERROR_INVALID_VALUE");
}
static void empty_grid() {
    if (try_launch(kernel(ADD, "fill"), {0, 64}, nullptr, hundred(), 1.0f) == INVALID_VALUE) seen("CUDA_ERROR_INVALID_VALUE");
}
static void host_pointer() {
    static float host[64];
    launch(kernel(ADD, "fill"), {1, 64}, nullptr, reinterpret_cast<uint64_t>(host), 1.0f);
}
static void misaligned_load() {
    launch(kernel(WRONG, "misaligned"), {1, 32}, nullptr, hundred(), hundred());
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void local_array() {
    launch(kernel(WRONG, "local_array"), {1, 32}, nullptr, hundred(), 4);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void float_to_index() {
    launch(kernel(WRONG, "float_to_index"), {1, 1}, nullptr, hundred(), 3e9f);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void division_by_zero() {
    launch(kernel(WRONG, "divide"), {1, 1}, nullptr, hundred(), 0);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void local_memory_overflow() {
    launch(kernel(WRONG, "deep"), {1, 1}, nullptr, hundred(), 0);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void forgotten_copy_wait() {
    const uint64_t b = device_bytes(1024);
    launch(kernel(COPY_ASYNC, "copy_async"), {1, 64, 1024}, nullptr, device_copy(some_numbers(256, 7)), b, 0);
    if (std::isnan(host_copy<float>(b, 256)[9])) seen("the tile is poison");
}

static void race(const char* name, unsigned blocks) {
    launch(kernel(RACES, name), {blocks, 64, 256}, nullptr, hundred(), 0);
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}
static void race_lost_update() { race("lost_update", 1); }
static void race_between_blocks() { race("blocks_share", 2); }
static void race_overwrite() { race("overwrite", 1); }
static void race_lanes() { race("lanes", 1); }

static void copy_too_much() {
    std::vector<float> numbers(101);
    cuMemcpyDtoH_v2(numbers.data(), hundred(), 404);
}
static void architecture_too_new() {
    void* module;
    if (cuModuleLoadData(&module, compile(ADD, "--gpu-architecture=compute_90").c_str()) == NO_BINARY_FOR_GPU) seen("CUDA_ERROR_NO_BINARY_FOR_GPU");
}
static void architecture_too_old() { compile(MMA_BF16, "--gpu-architecture=compute_75"); }
static void freed_host_buffer() {
    const size_t bytes = 1 << 20;
    void* host = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(cuMemcpyHtoDAsync_v2(device_bytes(bytes), host, bytes, nullptr), "cuMemcpyHtoDAsync");
    munmap(host, bytes);
    cuCtxSynchronize();
}
static void no_context() {
    must(cuCtxSetCurrent(nullptr), "cuCtxSetCurrent");
    uint64_t a;
    if (cuMemAlloc_v2(&a, 4) == INVALID_CONTEXT) seen("CUDA_ERROR_INVALID_CONTEXT");
}

// A convolution of 8 x 8 cells, three channels to two, filter 3, padding 1, with one thing wrong.
struct Wrong {
    int x_stride = 64;
    bool swap = false;
    size_t too_few_bytes = 0;
};
static int convolve(Wrong wrong) {
    void *handle, *x, *w, *y, *c;
    cudnnCreate(&handle);
    cudnnCreateTensorDescriptor(&x);
    cudnnCreateTensorDescriptor(&y);
    cudnnCreateFilterDescriptor(&w);
    cudnnCreateConvolutionDescriptor(&c);
    const int x_dims[] = {1, 3, 8, 8}, x_strides[] = {192, wrong.x_stride, 8, 1}, y_dims[] = {1, 2, 8, 8}, y_strides[] = {128, 64, 8, 1};
    const int w_dims[] = {2, 3, 3, 3}, ones[] = {1, 1};
    must(cudnnSetTensorNdDescriptor(x, 0, 4, x_dims, x_strides), "x");
    must(cudnnSetTensorNdDescriptor(y, 0, 4, y_dims, y_strides), "y");
    must(cudnnSetFilterNdDescriptor(w, 0, 0, 4, w_dims), "w");
    must(cudnnSetConvolutionNdDescriptor(c, 2, ones, ones, ones, 1, 0), "convolution");
    size_t bytes;
    must(cudnnGetConvolutionForwardWorkspaceSize(handle, x, w, c, y, 1, &bytes), "size");
    const float one = 1, zero = 0;
    const uint64_t x_data = device_copy(std::vector<float>(192, 1.0f)), y_data = device_bytes(512), w_data = device_copy(std::vector<float>(54, 1.0f));
    const uint64_t space = device_bytes(bytes);
    if (wrong.swap) {
        return cudnnConvolutionForward(handle, &one, y, x_data, w, w_data, c, 1, space, bytes, &zero, x, y_data);
    }
    return cudnnConvolutionForward(handle, &one, x, x_data, w, w_data, c, 1, space, bytes - wrong.too_few_bytes, &zero, y, y_data);
}
static void wrong_stride() { convolve({65, false, 0}); }
static void swapped_descriptors() {
    if (convolve({64, true, 0}) == BAD_PARAM) seen("CUDNN_STATUS_BAD_PARAM");
}
static void workspace_too_small() {
    if (convolve({64, false, 1}) == BAD_PARAM) seen("CUDNN_STATUS_BAD_PARAM");
}

int main(int count, char** words) {
    const std::map<std::string, void (*)()> errors = {
        {"past_end", past_end}, {"past_end_unaligned", past_end_unaligned}, {"product_overflow", product_overflow}, {"far_index", far_index},
        {"before_start_write", before_start_write}, {"before_start_read", before_start_read}, {"negative_index", negative_index},
        {"freed_argument", freed_argument}, {"freed_pointer_in_memory", freed_pointer_in_memory}, {"copy_after_async_free", copy_after_async_free},
        {"double_free", double_free}, {"double_async_free", double_async_free}, {"free_of_middle", free_of_middle},
        {"free_while_queued", free_while_queued}, {"async_free_without_event", async_free_without_event}, {"missing_barrier", missing_barrier},
        {"divergent_barrier", divergent_barrier}, {"lane_missing", lane_missing}, {"half_a_warp", half_a_warp},
        {"missing_synchronize", missing_synchronize}, {"streams_without_event", streams_without_event},
        {"default_stream_copy_without_wait", default_stream_copy_without_wait}, {"reused_host_buffer", reused_host_buffer},
        {"shared_one_past", shared_one_past}, {"shared_before", shared_before}, {"too_much_shared", too_much_shared},
        {"too_many_threads", too_many_threads}, {"empty_grid", empty_grid}, {"host_pointer", host_pointer}, {"misaligned_load", misaligned_load},
        {"local_array", local_array}, {"local_memory_overflow", local_memory_overflow}, {"float_to_index", float_to_index}, {"division_by_zero", division_by_zero}, {"forgotten_copy_wait", forgotten_copy_wait},
        {"copy_too_much", copy_too_much}, {"no_context", no_context}, {"wrong_stride", wrong_stride},
        {"swapped_descriptors", swapped_descriptors}, {"workspace_too_small", workspace_too_small},
        {"race_lost_update", race_lost_update}, {"race_between_blocks", race_between_blocks}, {"race_overwrite", race_overwrite},
        {"race_lanes", race_lanes}, {"architecture_too_new", architecture_too_new}, {"architecture_too_old", architecture_too_old},
        {"freed_host_buffer", freed_host_buffer},
    };
    if (count != 2 || errors.count(words[1]) == 0) {
        fprintf(stderr, "usage: %s ERROR\n", words[0]);
        return 2;
    }
    open_card();
    errors.at(words[1])();
    printf("not seen\n");
    return 1;
}
