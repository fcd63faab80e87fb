// Maps from value to value.

extern "C" __global__ void add(float* sum, const float* x, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) sum[i] += x[i];
}

extern "C" __global__ void silu(const float* x, float* y, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) y[i] = x[i] * sigmoid(x[i]);
}

// The gradient by x, in place of that by silu(x).
extern "C" __global__ void silu_backward(const float* x, float* gradient, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) gradient[i] *= silu_slope(x[i]);
}

// y (batch, columns, rows) = x (batch, rows, columns), each sample transposed.
extern "C" __global__ void transpose(const float* x, float* y, long long rows, long long columns, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        long long sample = i / (rows * columns), within = i % (rows * columns);
        long long column = within / rows, row = within % rows;
        y[i] = x[(sample * rows + row) * columns + column];
    }
}
