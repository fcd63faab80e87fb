// Between a volume and one of half its extents.

template <int N>
__device__ __forceinline__ void sum_blocks_of_several(
    const Value* x, Value* y, int ny, int nz, int channels, float factor, int add, long long count
) {
    for (long long i = thread_number() * N; i < count; i += all_threads() * N) {
        long long c = i % channels, voxel = i / channels;
        // Extents are even: a plane's number counts over samples as well.
        long long z = voxel % (nz / 2), row = voxel / (nz / 2), yy = row % (ny / 2), plane = row / (ny / 2);
        float sum[N] = {};
        for (int tap = 0; tap < 8; tap++) {
            long long at = ((2 * plane + tap / 4) * ny + 2 * yy + tap / 2 % 2) * nz + 2 * z + tap % 2;
            const auto given = several<N>(x + at * channels + c);
#pragma unroll
            for (int j = 0; j < N; j++) sum[j] += given.of[j];
        }
        Several<Value, N> made;
        if (add) made = several<N>(y + i);
#pragma unroll
        for (int j = 0; j < N; j++) made.of[j] = add ? made.of[j] + factor * sum[j] : factor * sum[j];
        several<N>(y + i) = made;
    }
}

// factor times the sums over blocks of 2^3 voxels of x (batch, nx, ny, nz, channels), added to y if `add`.
extern "C" __global__ void sum_blocks(
    const Value* x, Value* y, int ny, int nz, int channels, float factor, int add, long long count
) {
    if (channels % QUAD == 0) {
        sum_blocks_of_several<QUAD>(x, y, ny, nz, channels, factor, add, count);
    } else {
        sum_blocks_of_several<1>(x, y, ny, nz, channels, factor, add, count);
    }
}

template <int N>
__device__ __forceinline__ void repeat_blocks_of_several(
    const Value* x, Value* y, int ny, int nz, int channels, float factor, int add, long long count
) {
    for (long long i = thread_number() * N; i < count; i += all_threads() * N) {
        long long c = i % channels, voxel = i / channels;
        long long z = voxel % (2 * nz), row = voxel / (2 * nz), yy = row % (2 * ny), plane = row / (2 * ny);
        const auto given = several<N>(x + (((plane / 2) * ny + yy / 2) * nz + z / 2) * channels + c);
        Several<Value, N> made;
        if (add) made = several<N>(y + i);
#pragma unroll
        for (int j = 0; j < N; j++) made.of[j] = add ? made.of[j] + factor * given.of[j] : factor * given.of[j];
        several<N>(y + i) = made;
    }
}

// factor times each voxel of x (batch, nx, ny, nz, channels) repeated into 2^3, added to y if `add`.
extern "C" __global__ void repeat_blocks(
    const Value* x, Value* y, int ny, int nz, int channels, float factor, int add, long long count
) {
    if (channels % QUAD == 0) {
        repeat_blocks_of_several<QUAD>(x, y, ny, nz, channels, factor, add, count);
    } else {
        repeat_blocks_of_several<1>(x, y, ny, nz, channels, factor, add, count);
    }
}
