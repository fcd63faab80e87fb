// The loss, and AdamW with clipping and averages. Vectors of all parameters lie one after another, those whose weights decay first.

static const int SUMMING = 256; // threads of a block that sums

// The sum over a block's threads, for the first of them, in a fixed order.
__device__ __forceinline__ double sum_block(double value) {
    double* sums = dynamic_shared<double>(); // (SUMMING)
    sums[threadIdx.x] = value;
    for (int half = SUMMING / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    return threadIdx.x == 0 ? sums[0] : 0.0;
}

// From the output (sample, voxels, fields), the target (sample, fields, voxels), and what each voxel weighs (sample, voxels):
// partial (block) = sums of weight (output - target)^2, and the gradient of their sum by the output.
extern "C" __global__ void weighted_squares(
    const Value* output, const float* target, const float* weight, Value* gradient, double* partial, long long voxels, int fields,
    long long count
) {
    double sum = 0.0;
    for (long long i = thread_number(); i < count; i += all_threads()) {
        const long long row = i / fields, sample = row / voxels;
        const float difference = output[i] - target[(sample * fields + i % fields) * voxels + row % voxels];
        gradient[i] = 2.0f * weight[row] * difference;
        sum += static_cast<double>(weight[row]) * difference * difference;
    }
    const double all = sum_block(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = all;
}

// partial (block) = sums of squares.
extern "C" __global__ void squares(const float* x, double* partial, long long count) {
    double sum = 0.0;
    for (long long i = thread_number(); i < count; i += all_threads()) sum += static_cast<double>(x[i]) * x[i];
    const double all = sum_block(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = all;
}

// total = the sum of partial (count), added to what is there if `add`. One block.
extern "C" __global__ void sum_all(const double* partial, double* total, int add, int count) {
    double sum = 0.0;
    for (int i = threadIdx.x; i < count; i += SUMMING) sum += partial[i];
    const double all = sum_block(sum);
    if (threadIdx.x == 0) *total = add ? *total + all : all;
}

// One update of weights, moments and averages. Kingma & Ba 2015, arXiv:1412.6980, algorithm 1; Loshchilov & Hutter 2019,
// arXiv:1711.05101, algorithm 2.
extern "C" __global__ void adamw(
    const float* gradient, float* weight, float* average, float* first, float* second, float gradient_scale, float first_decay,
    float first_rest, float second_decay, float second_rest, float size, float second_scale, float epsilon, float weight_decay,
    float average_decay, float average_rest, long long decayed, long long count
) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        const float g = gradient_scale * gradient[i];
        const float m = first[i] * first_decay + g * first_rest;
        const float v = second[i] * second_decay + g * g * second_rest;
        const float kept = i < decayed ? weight[i] * weight_decay : weight[i];
        const float w = kept - m / (sqrtf(v * second_scale) + epsilon) * size;
        first[i] = m;
        second[i] = v;
        weight[i] = w;
        average[i] = average[i] * average_decay + w * average_rest;
    }
}
