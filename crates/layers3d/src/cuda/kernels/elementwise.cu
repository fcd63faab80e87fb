// Maps from value to value.

extern "C" __global__ void add(Value* sum, const Value* x, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) sum[i] = sum[i] + x[i];
}

// Of gradients by parameters, which are f32 in any case: sum = x, added to what is there if `add`.
extern "C" __global__ void accumulate(float* sum, const float* x, int add, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) sum[i] = add ? sum[i] + x[i] : x[i];
}

extern "C" __global__ void silu(const Value* x, Value* y, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) y[i] = x[i] * sigmoid(x[i]);
}

// The gradient by x, in place of that by silu(x).
extern "C" __global__ void silu_backward(const Value* x, Value* gradient, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) gradient[i] = gradient[i] * silu_slope(x[i]);
}

// y (rows, more) = x (rows, channels), with zeros in what is more.
extern "C" __global__ void widen(const Value* x, Value* y, int channels, int more, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        const long long row = i / more, c = i % more;
        y[i] = c < channels ? static_cast<float>(x[row * channels + c]) : 0.0f;
    }
}

// y (batch, columns, rows) = x (batch, rows, columns), each sample transposed.
template <class From, class To>
__device__ __forceinline__ void transpose(const From* x, To* y, long long rows, long long columns, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        long long sample = i / (rows * columns), within = i % (rows * columns);
        long long column = within / rows, row = within % rows;
        y[i] = x[(sample * rows + row) * columns + column];
    }
}

// A volume (batch, voxels, channels) from the host's values (batch, channels, voxels).
extern "C" __global__ void channels_last(const float* x, Value* y, long long channels, long long voxels, long long count) {
    transpose(x, y, channels, voxels, count);
}

// And the other way around.
extern "C" __global__ void channels_first(const Value* x, float* y, long long voxels, long long channels, long long count) {
    transpose(x, y, voxels, channels, count);
}
