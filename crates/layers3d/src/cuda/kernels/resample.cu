// Between a volume and one of half its extents.

// factor times the sums over blocks of 2^3 voxels of x (batch, nx, ny, nz, channels), added to y if `add`.
extern "C" __global__ void sum_blocks(
    const Value* x, Value* y, int ny, int nz, int channels, float factor, int add, long long count
) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        long long c = i % channels, voxel = i / channels;
        // Extents are even: a plane's number counts over samples as well.
        long long z = voxel % (nz / 2), row = voxel / (nz / 2), yy = row % (ny / 2), plane = row / (ny / 2);
        float sum = 0.0f;
        for (int tap = 0; tap < 8; tap++) {
            long long at = ((2 * plane + tap / 4) * ny + 2 * yy + tap / 2 % 2) * nz + 2 * z + tap % 2;
            sum += x[at * channels + c];
        }
        y[i] = add ? y[i] + factor * sum : factor * sum;
    }
}

// factor times each voxel of x (batch, nx, ny, nz, channels) repeated into 2^3, added to y if `add`.
extern "C" __global__ void repeat_blocks(
    const Value* x, Value* y, int ny, int nz, int channels, float factor, int add, long long count
) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        long long c = i % channels, voxel = i / channels;
        long long z = voxel % (2 * nz), row = voxel / (2 * nz), yy = row % (2 * ny), plane = row / (2 * ny);
        float value = factor * x[(((plane / 2) * ny + yy / 2) * nz + z / 2) * channels + c];
        y[i] = add ? y[i] + value : value;
    }
}
