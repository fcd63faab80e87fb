// Group norm with an affine map per sample and channel and SiLU, and its way back. What is normalised may lie in several sides: each
// has `channels` of all `total` ones, from `first` on.
//
// Wu & He 2018, arXiv:1803.08494, eqs. 1-7; the gradient by differentiating them.

static const int COLUMNS = 32; // channels of a block
static const int LINES = 8;    // rows that a block reads at once

// Sums two values of each channel over a block's lines, in order.
__device__ __forceinline__ void sum_lines(double a, double b, double* sum_a, double* sum_b) {
    double* shared = dynamic_shared<double>(); // (2, LINES, COLUMNS)
    const int line = threadIdx.y, column = threadIdx.x;
    shared[line * COLUMNS + column] = a;
    shared[(LINES + line) * COLUMNS + column] = b;
    __syncthreads();
    *sum_a = *sum_b = 0.0;
    if (line == 0) {
        for (int other = 0; other < LINES; other++) {
            *sum_a += shared[other * COLUMNS + column];
            *sum_b += shared[(LINES + other) * COLUMNS + column];
        }
    }
}

// partial (sample, part, 2, total): sums of x - its sample's first voxel, and of the square, over a part's rows.
// Blocks: (tiles of channels, parts, samples).
extern "C" __global__ void norm_sums(
    const Value* x, double* partial, long long voxels, long long rows_of_part, int channels, int first, int total
) {
    const int c = blockIdx.x * COLUMNS + threadIdx.x;
    const Value* of_sample = x + blockIdx.z * voxels * channels;
    const long long begin = blockIdx.y * rows_of_part;
    const long long end = begin + rows_of_part < voxels ? begin + rows_of_part : voxels;
    double sum = 0.0, squares = 0.0;
    if (c < channels) {
        const float centre = of_sample[c];
        for (long long row = begin + threadIdx.y; row < end; row += LINES) {
            const double d = of_sample[row * channels + c] - centre;
            sum += d;
            squares += d * d;
        }
    }
    double all, all_squares;
    sum_lines(sum, squares, &all, &all_squares);
    if (threadIdx.y == 0 && c < channels) {
        double* to = partial + (static_cast<long long>(blockIdx.z) * gridDim.y + blockIdx.y) * 2 * total + first + c;
        to[0] = all;
        to[total] = all_squares;
    }
}

// centre (sample, total) from `first` on: each sample's first voxel.
extern "C" __global__ void norm_centres(
    const Value* x, float* centre, long long voxels, int channels, int first, int total, long long count
) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        centre[i / channels * total + first + i % channels] = x[i / channels * voxels * channels + i % channels];
    }
}

// mean and 1 / deviation (sample, total) of each channel's group. A thread for each sample and group.
extern "C" __global__ void norm_moments(
    const double* partial, const float* centre, float* mean, float* inverse, long long voxels, int parts, int total, int groups,
    double epsilon, long long count
) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        const long long sample = i / groups;
        const int in_group = total / groups, begin = static_cast<int>(i % groups) * in_group;
        // Of channels first, about their own centres; then of the group: a mean far from zero costs no digits.
        double group_mean = 0.0;
        for (int c = begin; c < begin + in_group; c++) {
            double sum = 0.0;
            for (int part = 0; part < parts; part++) sum += partial[((sample * parts + part) * 2) * total + c];
            group_mean += centre[sample * total + c] + sum / voxels;
        }
        group_mean /= in_group;
        double variance = 0.0;
        for (int c = begin; c < begin + in_group; c++) {
            double sum = 0.0, squares = 0.0;
            for (int part = 0; part < parts; part++) {
                const double* of_part = partial + ((sample * parts + part) * 2) * total + c;
                sum += of_part[0];
                squares += of_part[total];
            }
            const double step = sum / voxels, own = squares / voxels - step * step;
            const double away = centre[sample * total + c] + step - group_mean;
            variance += (own > 0.0 ? own : 0.0) + away * away;
        }
        const float deviation = static_cast<float>(1.0 / sqrt(variance / in_group + epsilon));
        for (int c = begin; c < begin + in_group; c++) {
            mean[sample * total + c] = static_cast<float>(group_mean);
            inverse[sample * total + c] = deviation;
        }
    }
}

// The two affine maps after the norm as one, and all three as slope and offset, (sample, total).
// `scale_shift` (sample, 2 total) may be missing.
extern "C" __global__ void norm_lines(
    const float* mean, const float* inverse, const float* weight, const float* bias, const Value* scale_shift, float* scale,
    float* slope, float* offset, int total, long long count
) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        const long long sample = i / total, c = i % total;
        const float factor = scale_shift ? 1.0f + scale_shift[sample * 2 * total + c] : 1.0f;
        const float shift = scale_shift ? scale_shift[sample * 2 * total + total + c] : 0.0f;
        scale[i] = weight[c] * factor;
        slope[i] = inverse[i] * scale[i];
        offset[i] = bias[c] * factor + shift - mean[i] * slope[i];
    }
}

// Whether threads may map several channels at once.
__device__ __forceinline__ bool are_quads(int channels, int first, int total) {
    return channels % QUAD == 0 && first % QUAD == 0 && total % QUAD == 0;
}

template <int N>
__device__ __forceinline__ void normalize_several(
    const Value* x, const float* slope, const float* offset, Value* y, long long voxels, int channels, int first, int total,
    int is_silu, long long count
) {
    for (long long i = thread_number() * N; i < count; i += all_threads() * N) {
        const long long row = i / channels, c = first + i % channels, line = row / voxels * total + c;
        const auto given = several<N>(x + i);
        const auto slopes = several<N>(slope + line), offsets = several<N>(offset + line);
        Several<Value, N> made;
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float value = given.of[j] * slopes.of[j] + offsets.of[j];
            made.of[j] = is_silu ? value * sigmoid(value) : value;
        }
        several<N>(y + row * total + c) = made;
    }
}

// y (sample, voxels, total) from `first` on = activation(x (sample, voxels, channels) slope + offset).
extern "C" __global__ void normalize(
    const Value* x, const float* slope, const float* offset, Value* y, long long voxels, int channels, int first, int total,
    int is_silu, long long count
) {
    if (are_quads(channels, first, total)) {
        normalize_several<QUAD>(x, slope, offset, y, voxels, channels, first, total, is_silu, count);
    } else {
        normalize_several<1>(x, slope, offset, y, voxels, channels, first, total, is_silu, count);
    }
}

// The gradient by what the activation was given.
__device__ __forceinline__ float through_activation(float gradient, float x, float slope, float offset, int is_silu) {
    return is_silu ? gradient * silu_slope(x * slope + offset) : gradient;
}

// partial (sample, part, 2, total): sums of the gradient by the affine map's output, and of that times normalised x.
// Blocks as in norm_sums.
extern "C" __global__ void norm_backward_sums(
    const Value* x, const Value* gradient, const float* mean, const float* inverse, const float* slope, const float* offset,
    double* partial, long long voxels, long long rows_of_part, int channels, int first, int total, int is_silu
) {
    const int c = blockIdx.x * COLUMNS + threadIdx.x;
    const long long begin = blockIdx.y * rows_of_part;
    const long long end = begin + rows_of_part < voxels ? begin + rows_of_part : voxels;
    double by_shift = 0.0, by_scale = 0.0;
    if (c < channels) {
        const long long line = static_cast<long long>(blockIdx.z) * total + first + c;
        for (long long row = begin + threadIdx.y; row < end; row += LINES) {
            const long long place = blockIdx.z * voxels + row;
            const float value = x[place * channels + c];
            const float g =
                through_activation(gradient[place * total + first + c], value, slope[line], offset[line], is_silu);
            by_shift += g;
            by_scale += g * ((value - mean[line]) * inverse[line]);
        }
    }
    double all_shift, all_scale;
    sum_lines(by_shift, by_scale, &all_shift, &all_scale);
    if (threadIdx.y == 0 && c < channels) {
        double* to = partial + (static_cast<long long>(blockIdx.z) * gridDim.y + blockIdx.y) * 2 * total + first + c;
        to[0] = all_shift;
        to[total] = all_scale;
    }
}

// by_shift and by_scale (sample, total), and what each channel's group takes away from the gradient: a constant, and a multiple of
// normalised x. A thread for each sample and group.
extern "C" __global__ void norm_backward_lines(
    const double* partial, const float* scale, float* by_shift, float* by_scale, float* constant, float* multiple,
    long long voxels, int parts, int total, int groups, long long count
) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        const long long sample = i / groups;
        const int in_group = total / groups, begin = static_cast<int>(i % groups) * in_group;
        double constants = 0.0, multiples = 0.0;
        for (int c = begin; c < begin + in_group; c++) {
            double shift = 0.0, scales = 0.0;
            for (int part = 0; part < parts; part++) {
                const double* of_part = partial + ((sample * parts + part) * 2) * total + c;
                shift += of_part[0];
                scales += of_part[total];
            }
            const long long line = sample * total + c;
            by_shift[line] = static_cast<float>(shift);
            by_scale[line] = static_cast<float>(scales);
            constants += scale[line] * shift;
            multiples += scale[line] * scales;
        }
        const double values = static_cast<double>(voxels) * in_group;
        for (int c = begin; c < begin + in_group; c++) {
            constant[sample * total + c] = static_cast<float>(constants / values);
            multiple[sample * total + c] = static_cast<float>(multiples / values);
        }
    }
}

template <int N>
__device__ __forceinline__ void normalize_backward_several(
    const Value* x, const Value* gradient, const float* mean, const float* inverse, const float* scale, const float* slope,
    const float* offset, const float* constant, const float* multiple, Value* by_x, long long voxels, int channels, int first,
    int total, int is_silu, int add, long long count
) {
    for (long long i = thread_number() * N; i < count; i += all_threads() * N) {
        const long long row = i / channels, c = first + i % channels, line = row / voxels * total + c;
        const auto given = several<N>(x + i), gradients = several<N>(gradient + row * total + c);
        const auto means = several<N>(mean + line), inverses = several<N>(inverse + line), scales = several<N>(scale + line);
        const auto slopes = several<N>(slope + line), offsets = several<N>(offset + line);
        const auto constants = several<N>(constant + line), multiples = several<N>(multiple + line);
        Several<Value, N> by;
        if (add) by = several<N>(by_x + i);
#pragma unroll
        for (int j = 0; j < N; j++) {
            const float g = through_activation(gradients.of[j], given.of[j], slopes.of[j], offsets.of[j], is_silu);
            const float normalised = (given.of[j] - means.of[j]) * inverses.of[j];
            const float own = inverses.of[j] * (g * scales.of[j] - constants.of[j] - normalised * multiples.of[j]);
            by.of[j] = add ? by.of[j] + own : own;
        }
        several<N>(by_x + i) = by;
    }
}

// The gradient by a side x, added to what is there if `add`.
extern "C" __global__ void normalize_backward(
    const Value* x, const Value* gradient, const float* mean, const float* inverse, const float* scale, const float* slope,
    const float* offset, const float* constant, const float* multiple, Value* by_x, long long voxels, int channels, int first,
    int total, int is_silu, int add, long long count
) {
    if (are_quads(channels, first, total)) {
        normalize_backward_several<QUAD>(x, gradient, mean, inverse, scale, slope, offset, constant, multiple, by_x, voxels,
                                         channels, first, total, is_silu, add, count);
    } else {
        normalize_backward_several<1>(x, gradient, mean, inverse, scale, slope, offset, constant, multiple, by_x, voxels,
                                      channels, first, total, is_silu, add, count);
    }
}

// From the gradients by the one affine map to those by the two that it was made of: by_weight and by_bias (total), and
// by_scale_shift (sample, 2 total) if there is one. A thread for each channel.
extern "C" __global__ void norm_backward_affine(
    const float* by_scale, const float* by_shift, const float* weight, const float* bias, const Value* scale_shift,
    float* by_weight, float* by_bias, Value* by_scale_shift, int samples, int total
) {
    for (long long c = thread_number(); c < total; c += all_threads()) {
        float of_weight = 0.0f, of_bias = 0.0f;
        for (int sample = 0; sample < samples; sample++) {
            const long long line = static_cast<long long>(sample) * total + c;
            const long long scales = static_cast<long long>(sample) * 2 * total + c;
            const float factor = scale_shift ? 1.0f + scale_shift[scales] : 1.0f;
            of_weight += by_scale[line] * factor;
            of_bias += by_shift[line] * factor;
            if (scale_shift) {
                by_scale_shift[scales] = by_scale[line] * weight[c] + by_shift[line] * bias[c];
                by_scale_shift[scales + total] = by_shift[line];
            }
        }
        by_weight[c] = of_weight;
        by_bias[c] = of_bias;
    }
}

// partial (part, channels) = sums over a part's rows of x (rows, channels). Blocks: (tiles of channels, parts).
extern "C" __global__ void sum_rows(
    const Value* x, double* partial, long long rows, long long rows_of_part, int channels
) {
    const int c = blockIdx.x * COLUMNS + threadIdx.x;
    const long long begin = blockIdx.y * rows_of_part;
    const long long end = begin + rows_of_part < rows ? begin + rows_of_part : rows;
    double sum = 0.0;
    if (c < channels) {
        for (long long row = begin + threadIdx.y; row < end; row += LINES) sum += x[row * channels + c];
    }
    double all, nothing;
    sum_lines(sum, 0.0, &all, &nothing);
    if (threadIdx.y == 0 && c < channels) partial[static_cast<long long>(blockIdx.y) * channels + c] = all;
}

// sum (count) = sums over all parts of partial (part, count).
extern "C" __global__ void sum_parts(const double* partial, float* sum, int parts, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        double all = 0.0;
        for (int part = 0; part < parts; part++) all += partial[part * count + i];
        sum[i] = static_cast<float>(all);
    }
}
