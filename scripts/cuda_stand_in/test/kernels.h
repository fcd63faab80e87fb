// Kernels of the self-tests, right and wrong ones.
#pragma once

static const char* const ADD = R"(
extern "C" __global__ void add(const float* a, const float* b, float* c, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) c[i] = a[i] + b[i];
}
extern "C" __global__ __launch_bounds__(64, 2) void fill(float* a, float value) { a[threadIdx.x] = value; }
)";

// Sums 256 numbers; with SKIP the barrier inside the loop is forgotten.
static const char* const BLOCK_SUM = R"(
extern "C" __global__ void block_sum(const float* a, float* sums, int skip) {
    float* part = dynamic_shared<float>();
    const int t = threadIdx.x;
    part[t] = a[blockIdx.x * blockDim.x + t];
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (!skip) __syncthreads();
        if (t < half) part[t] += part[t + half];
    }
    if (t == 0) sums[blockIdx.x] = part[0];
}
)";

static const char* const WARP = R"(
extern "C" __global__ void warp(const float* a, float* out) {
    const int lane = threadIdx.x % 32;
    float sum = a[threadIdx.x];
    for (int flip = 16; flip > 0; flip /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, flip);
    const float from_three = __shfl_sync(0xffffffffu, a[threadIdx.x], 3);
    float down = a[threadIdx.x];
    for (int delta = 16; delta > 0; delta /= 2) down += __shfl_down_sync(0xffffffffu, down, delta);
    const unsigned votes = __ballot_sync(0xffffffffu, lane % 3 == 0);
    out[threadIdx.x * 4] = sum;
    out[threadIdx.x * 4 + 1] = from_three;
    out[threadIdx.x * 4 + 2] = __shfl_sync(0xffffffffu, down, 0);
    out[threadIdx.x * 4 + 3] = __popc(votes);
}
)";

// One 16 x 16 by 16 x 8 product in bf16: a by rows, b by rows; the fragments come through ldmatrix or by hand.
static const char* const MMA_BF16 = R"(
typedef unsigned short half_word;
extern "C" __global__ void mma_bf16(const half_word* a, const half_word* b, float* d, int by_hand) {
    half_word* shared_a = dynamic_shared<half_word>();
    half_word* shared_b = shared_a + 16 * 16;
    const int lane = threadIdx.x, group = lane / 4, place = lane % 4;
    for (int i = lane; i < 16 * 16; i += 32) shared_a[i] = a[i];
    for (int i = lane; i < 16 * 16; i += 32) shared_b[i] = i % 16 < 8 ? b[i / 16 * 8 + i % 16] : 0;
    __syncthreads();
    unsigned fa[4], four[4], fb[2];
    ldmatrix_x4(fa, shared_a + lane % 16 * 16 + lane / 16 * 8);
    ldmatrix_x4_transposed(four, shared_b + lane % 16 * 16 + lane / 16 * 8);
    fb[0] = four[0];
    fb[1] = four[1];
    if (by_hand) {
        for (int r = 0; r < 4; r++) {
            const int row = group + r % 2 * 8, k = 2 * place + r / 2 * 8;
            fa[r] = shared_a[row * 16 + k] | (unsigned)shared_a[row * 16 + k + 1] << 16;
        }
        for (int r = 0; r < 2; r++) {
            const int k = 2 * place + r * 8;
            fb[r] = shared_b[k * 16 + group] | (unsigned)shared_b[(k + 1) * 16 + group] << 16;
        }
    }
    float sum[4] = {1, 1, 1, 1};
    mma_m16n8k16_bf16(sum, fa, fb);
    for (int i = 0; i < 4; i++) d[(group + i / 2 * 8) * 8 + 2 * place + i % 2] = sum[i];
}
extern "C" __global__ void half_a_warp(float* d) {
    unsigned a[4] = {}, b[2] = {};
    float sum[4] = {};
    if (threadIdx.x < 16) mma_m16n8k16_bf16(sum, a, b);
    else __syncwarp(0xffff0000u);
    d[threadIdx.x] = sum[0];
}
)";

static const char* const MMA_TF32 = R"(
extern "C" __global__ void mma_tf32(const float* a, const float* b, float* d) {
    const int lane = threadIdx.x, group = lane / 4, place = lane % 4;
    unsigned fa[4], fb[2];
    for (int r = 0; r < 4; r++) fa[r] = __float_as_uint(a[(group + r % 2 * 8) * 8 + place + r / 2 * 4]);
    for (int r = 0; r < 2; r++) fb[r] = __float_as_uint(b[(place + r * 4) * 8 + group]);
    float sum[4] = {};
    mma_m16n8k8_tf32(sum, fa, fb);
    for (int i = 0; i < 4; i++) d[(group + i / 2 * 8) * 8 + 2 * place + i % 2] = sum[i];
}
)";

// Doubles 4 numbers per thread, brought in by asynchronous copies; the last thread's are not valid, so zeros.
static const char* const COPY_ASYNC = R"(
extern "C" __global__ void copy_async(const float* a, float* b, int wait) {
    float* tile = dynamic_shared<float>();
    const int t = threadIdx.x;
    copy_async_16(tile + 4 * t, a + 4 * t, t + 1 < blockDim.x);
    copy_async_commit();
    if (wait) copy_async_wait<0>();
    __syncthreads();
    const int other = blockDim.x - 1 - t;
    for (int i = 0; i < 4; i++) b[4 * t + i] = 2 * tile[4 * other + i];
}
)";

static const char* const WRONG = R"(
extern "C" __global__ void write_at(float* a, long long index) { a[index + threadIdx.x] = 1; }
extern "C" __global__ void read_at(const float* a, float* b, long long index) { b[threadIdx.x] = a[index + threadIdx.x]; }
extern "C" __global__ void product_index(float* a, int rows, int columns) { a[rows * columns] = 1; }
extern "C" __global__ void follow(float** pointer) { **pointer = 1; }
extern "C" __global__ void divergent(float* a) {
    if (threadIdx.x < 16) {
        __syncthreads();
    } else {
        a[threadIdx.x] = 1;
        __syncthreads();
    }
}
extern "C" __global__ void lane_missing(float* a) {
    float v = 1;
    if (threadIdx.x != 5) v = __shfl_xor_sync(0xffffffffu, v, 1);
    __syncthreads();
    a[threadIdx.x] = v;
}
extern "C" __global__ void shared_past(float* a, int past) {
    float* tile = dynamic_shared<float>();
    tile[(int)threadIdx.x + past] = 1;
    __syncthreads();
    a[threadIdx.x] = tile[threadIdx.x];
}
extern "C" __global__ void misaligned(const float* a, float* b) {
    const float4 v = *reinterpret_cast<const float4*>(a + threadIdx.x);
    b[threadIdx.x] = v.x + v.w;
}
extern "C" __global__ void local_array(float* a, int index) {
    float kept[4] = {1, 2, 3, 4};
    a[threadIdx.x] = kept[index];
}
extern "C" __global__ void float_to_index(float* a, float index) { a[(int)index] = 1; }
extern "C" __global__ void divide(float* a, int by) { a[threadIdx.x % by] = 1; }
extern "C" __global__ void deep(float* a, int depth) {
    volatile float kept[100000];
    kept[depth] = 1;
    a[0] = kept[depth];
}
)";

// Right on the stand-in, where threads run one after the other; wrong on a card.
static const char* const RACES = R"(
extern "C" __global__ void lost_update(float* a) { a[0] += 1; }
extern "C" __global__ void blocks_share(float* a) { a[blockIdx.x * 31 + threadIdx.x] = blockIdx.x; }
extern "C" __global__ void overwrite(float* a) {
    float* tile = dynamic_shared<float>();
    tile[threadIdx.x] = a[threadIdx.x];
    __syncthreads();
    a[threadIdx.x] = tile[threadIdx.x ^ 33];
    tile[threadIdx.x] = 0;
}
extern "C" __global__ void lanes(float* a, int ordered) {
    float* tile = dynamic_shared<float>();
    tile[threadIdx.x] = a[threadIdx.x];
    if (ordered) __syncwarp();
    a[threadIdx.x] = tile[threadIdx.x ^ 1];
}
extern "C" __global__ void counted(float* sum, unsigned short* halves) {
    atomicAdd(sum, 1.0f);
    halves[blockIdx.x * blockDim.x + threadIdx.x] = threadIdx.x;
}
)";
