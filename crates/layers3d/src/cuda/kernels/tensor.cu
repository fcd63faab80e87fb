// The products of convolution.cu on tensor cores, summed in f32: of f32 values, rounded to TF32 (10 bits of mantissa) where they
// meet, or of bfloat16 as they are. Tiles are fetched while earlier ones are multiplied. Channels of inputs are whole units of
// 16 bytes, and so are packed outputs: zeros make up for what a layer does not have. From capability 8.0 on.

#if __CUDA_ARCH__ >= 800

static const int UNIT = 16 / sizeof(Value); // values of a copy
static const int STAGES = 3;                // tiles in flight
static const int SLAB = 4 * UNIT;           // depth of a tile
static const int STEP = 2 * UNIT;           // depth of a product of one warp
static const int ROWS = 128;                // rows of a block of multiply_rows_tensor
static const int OUTPUTS = 64;              // outputs of a block; wide ones have twice as many
static const int INPUTS = 64;               // inputs of a block of multiply_columns_tensor, likewise
static const int LEFT = SLAB + UNIT;        // distances in shared memory at which a warp's loads meet all banks: of rows of a slab,
static const int APART = 8;                 // and what it takes beside rows of outputs or inputs
static const int UNITS = OUTPUTS / UNIT;    // copies of a row of OUTPUTS or INPUTS
static const int FETCHED = 128 / UNITS;     // such rows that 128 threads fetch at once
// Blocks of multiply_rows_tensor that a multiprocessor has shared memory for.
static const int BLOCKS = __CUDA_ARCH__ >= 900 ? 4 : 3;

// What a lane has of the factors and sums of a warp's product: a left matrix of 16 rows and STEP columns, and two right ones, side
// by side, of STEP rows and 8 columns each. They are taken out of tiles whose rows lie LEFT or a distance apart.
#ifdef FINESCALE_BF16

__device__ __forceinline__ void left_of_rows(unsigned (&a)[4], const Value* tile, int lane) {
    ldmatrix_x4(a, tile + lane % 16 * LEFT + lane / 16 * 8);
}

// A column of the left matrix after another.
__device__ __forceinline__ void left_of_columns(unsigned (&a)[4], const Value* tile, int distance, int lane) {
    ldmatrix_x4_transposed(a, tile + (lane / 16 * 8 + lane % 8) * distance + lane / 8 % 2 * 8);
}

__device__ __forceinline__ void right_of_rows(unsigned (&b)[2][2], const Value* tile, int distance, int lane) {
    unsigned r[4];
    ldmatrix_x4_transposed(r, tile + lane % 16 * distance + lane / 16 * 8);
    b[0][0] = r[0];
    b[0][1] = r[1];
    b[1][0] = r[2];
    b[1][1] = r[3];
}

__device__ __forceinline__ void multiply_add(float (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    mma_m16n8k16_bf16(sums, a, b);
}

#else

// The bits that a tensor core takes of a float: it drops the last 13, after this has rounded them to nearest by Veltkamp's splitting
// (Dekker 1971, Numer. Math. 18, 224). What is not finite stays so; half a unit added to the bits of a NaN could make them those of 0.
__device__ __forceinline__ unsigned to_tf32(float value) { return __float_as_uint(fmaf(value, -8192.0f, value * 8193.0f)); }

__device__ __forceinline__ void left_of_rows(unsigned (&a)[4], const Value* tile, int lane) {
    const float* from = tile + lane / 4 * LEFT + lane % 4;
    a[0] = to_tf32(from[0]);
    a[1] = to_tf32(from[8 * LEFT]);
    a[2] = to_tf32(from[4]);
    a[3] = to_tf32(from[8 * LEFT + 4]);
}

// A column of the left matrix after another.
__device__ __forceinline__ void left_of_columns(unsigned (&a)[4], const Value* tile, int distance, int lane) {
    const float* from = tile + lane % 4 * distance + lane / 4;
    a[0] = to_tf32(from[0]);
    a[1] = to_tf32(from[8]);
    a[2] = to_tf32(from[4 * distance]);
    a[3] = to_tf32(from[4 * distance + 8]);
}

__device__ __forceinline__ void right_of_rows(unsigned (&b)[2][2], const Value* tile, int distance, int lane) {
#pragma unroll
    for (int n = 0; n < 2; n++) {
        const float* from = tile + lane % 4 * distance + lane / 4 + 8 * n;
        b[n][0] = to_tf32(from[0]);
        b[n][1] = to_tf32(from[4 * distance]);
    }
}

__device__ __forceinline__ void multiply_add(float (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    mma_m16n8k8_tf32(sums, a, b);
}

#endif

// Where a row lies in its volume.
struct Voxel {
    int x, y, z;

    __device__ __forceinline__ static Voxel of(long long row, int nx, int ny, int nz) {
        const long long line = row / nz, plane = line / ny;
        return {static_cast<int>(plane % nx), static_cast<int>(line % ny), static_cast<int>(row % nz)};
    }

    __device__ __forceinline__ void advance(int rows, int nx, int ny, int nz) {
        z += rows;
        while (z >= nz) {
            z -= nz;
            if (++y == ny) {
                y = 0;
                if (++x == nx) x = 0;
            }
        }
    }

    // Whether its neighbour is inside of the volume.
    __device__ __forceinline__ bool has(int dx, int dy, int dz, int nx, int ny, int nz) const {
        return x + dx >= 0 && x + dx < nx && y + dy >= 0 && y + dy < ny && z + dz >= 0 && z + dz < nz;
    }
};

// Where the sums of a lane go: every 8th row from one on, and two outputs of every 8 from another on.
struct Place {
    long long rows, first_row;
    int outputs, first_output;
};

// Writes a lane's sums, + bias + plus, N neighbours at once.
template <int N, int TILES>
__device__ __forceinline__ void finish(
    const float (&sums)[TILES][8][4], const float* bias, const Value* plus, Value* output, Place place
) {
#pragma unroll
    for (int n = 0; n < 16; n += N) {
        const int o = place.first_output + n / 2 * 8 + n % 2;
        if (o >= place.outputs) continue;
        float shift[N] = {};
        if (bias) {
#pragma unroll
            for (int j = 0; j < N; j++) shift[j] = bias[o + j];
        }
#pragma unroll
        for (int i = 0; i < 2 * TILES; i++) {
            const long long row = place.first_row + 8 * i;
            if (row >= place.rows) continue;
            Several<Value, N> more, made;
            if (plus) more = several<N>(plus + row * place.outputs + o);
#pragma unroll
            for (int j = 0; j < N; j++) {
                const float value = sums[i / 2][n / 2][i % 2 * 2 + n % 2 + j] + shift[j];
                made.of[j] = plus ? value + more.of[j] : value;
            }
            several<N>(output + row * place.outputs + o) = made;
        }
    }
}

// As multiply_rows, a block for ROWS rows and ASIDE times OUTPUTS outputs. 128 threads: of the four warps, ASIDE are side by side,
// and each has OUTPUTS outputs of 32 ASIDE rows. Wide blocks read less of shared memory for a product, and there are fewer of them.
template <int ASIDE>
__device__ __forceinline__ void multiply_tile(
    const Value* x, const Value* packed, const float* bias, const Value* plus, Value* output, long long rows, int inputs,
    int outputs, int taps, int nx, int ny, int nz
) {
    static const int DISTANCE = ASIDE * OUTPUTS + APART;
    Value* left = dynamic_shared<Value>();      // (STAGES, ROWS, LEFT)
    Value* right = left + STAGES * ROWS * LEFT; // (STAGES, SLAB, DISTANCE)
    const long long first_row = static_cast<long long>(blockIdx.x) * ROWS;
    const int first_output = blockIdx.y * ASIDE * OUTPUTS;
    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, group = lane / 4, member = lane % 4;
    // A thread fetches a unit of inputs of every 32nd row, and a unit of outputs of 2 ASIDE rows of weights.
    const int column = thread % 4 * UNIT;
    Voxel voxels[4];
#pragma unroll
    for (int i = 0; i < 4; i++) voxels[i] = Voxel::of(first_row + thread / 4 + 32 * i, nx, ny, nz);
    const int slabs = (inputs + SLAB - 1) / SLAB, steps = taps * slabs;
    const int packed_outputs = (outputs + UNIT - 1) / UNIT * UNIT;
    const auto fetch = [&](int step) {
        const int tap = step / slabs, k = step % slabs * SLAB, stage = step % STAGES;
        const int dx = taps == 1 ? 0 : tap / 9 - 1, dy = taps == 1 ? 0 : tap / 3 % 3 - 1, dz = taps == 1 ? 0 : tap % 3 - 1;
        const long long away = (static_cast<long long>(dx) * ny + dy) * nz + dz;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int of_tile = thread / 4 + 32 * i;
            const long long row = first_row + of_tile;
            const bool is_there = row < rows && k + column < inputs && voxels[i].has(dx, dy, dz, nx, ny, nz);
            const Value* from = is_there ? x + (row + away) * inputs + k + column : x;
            copy_async_16(left + (stage * ROWS + of_tile) * LEFT + column, from, is_there);
        }
#pragma unroll
        for (int i = 0; i < 2 * ASIDE; i++) {
            const int of_slab = thread / (ASIDE * UNITS) + FETCHED / ASIDE * i, o = thread % (ASIDE * UNITS) * UNIT;
            const bool is_there = k + of_slab < inputs && first_output + o < packed_outputs;
            const long long at = (static_cast<long long>(tap) * inputs + k + of_slab) * packed_outputs + first_output + o;
            copy_async_16(right + (stage * SLAB + of_slab) * DISTANCE + o, is_there ? packed + at : packed, is_there);
        }
    };
    const int warp_row = 32 * ASIDE * (warp / ASIDE), warp_output = OUTPUTS * (warp % ASIDE);
    float sums[2 * ASIDE][8][4] = {};
    for (int step = 0; step < STAGES - 1; step++) {
        if (step < steps) fetch(step);
        copy_async_commit();
    }
    for (int step = 0; step < steps; step++) {
        copy_async_wait<STAGES - 2>();
        // What everybody fetched is there, and what is fetched next goes where everybody is done.
        __syncthreads();
        if (step + STAGES - 1 < steps) fetch(step + STAGES - 1);
        copy_async_commit();
        const Value* tile = left + (step % STAGES * ROWS + warp_row) * LEFT;
        const Value* weights = right + step % STAGES * SLAB * DISTANCE + warp_output;
#pragma unroll
        for (int k = 0; k < SLAB; k += STEP) {
            unsigned a[2 * ASIDE][4], b[4][2][2];
#pragma unroll
            for (int m = 0; m < 2 * ASIDE; m++) left_of_rows(a[m], tile + 16 * m * LEFT + k, lane);
#pragma unroll
            for (int n = 0; n < 4; n++) right_of_rows(b[n], weights + k * DISTANCE + 16 * n, DISTANCE, lane);
#pragma unroll
            for (int m = 0; m < 2 * ASIDE; m++) {
#pragma unroll
                for (int n = 0; n < 8; n++) multiply_add(sums[m][n], a[m], b[n / 2][n % 2]);
            }
        }
    }
    const Place place = {rows, first_row + warp_row + group, outputs, first_output + warp_output + 2 * member};
    if (outputs % 2 == 0) {
        finish<2, 2 * ASIDE>(sums, bias, plus, output, place);
    } else {
        finish<1, 2 * ASIDE>(sums, bias, plus, output, place);
    }
}

extern "C" __global__ void __launch_bounds__(128, BLOCKS) multiply_rows_tensor(
    const Value* x, const Value* packed, const float* bias, const Value* plus, Value* output, long long rows, int inputs,
    int outputs, int taps, int nx, int ny, int nz
) {
    multiply_tile<1>(x, packed, bias, plus, output, rows, inputs, outputs, taps, nx, ny, nz);
}

extern "C" __global__ void __launch_bounds__(128, 2) multiply_rows_tensor_wide(
    const Value* x, const Value* packed, const float* bias, const Value* plus, Value* output, long long rows, int inputs,
    int outputs, int taps, int nx, int ny, int nz
) {
    multiply_tile<2>(x, packed, bias, plus, output, rows, inputs, outputs, taps, nx, ny, nz);
}

// As multiply_columns, a block for ASIDE times INPUTS inputs and ASIDE times OUTPUTS outputs. 128 threads: each of two by two warps
// has 32 ASIDE inputs and as many outputs. Tensor cores cut sums off instead of rounding them: parts have some thousand rows.
template <int ASIDE>
__device__ __forceinline__ void multiply_columns_of_tile(
    const Value* x, const Value* gradient, double* partial, long long rows, long long rows_of_part, int inputs, int outputs,
    int taps, int nx, int ny, int nz
) {
    static const int DISTANCE = ASIDE * OUTPUTS + APART;
    Value* left = dynamic_shared<Value>();          // (STAGES, SLAB, DISTANCE): rows of x
    Value* right = left + STAGES * SLAB * DISTANCE; // (STAGES, SLAB, DISTANCE): rows of the gradient
    const int output_tiles = (outputs + ASIDE * OUTPUTS - 1) / (ASIDE * OUTPUTS);
    const int first_input = blockIdx.x / output_tiles * ASIDE * INPUTS;
    const int first_output = blockIdx.x % output_tiles * ASIDE * OUTPUTS;
    const int tap = blockIdx.y;
    const int dx = taps == 1 ? 0 : tap / 9 - 1, dy = taps == 1 ? 0 : tap / 3 % 3 - 1, dz = taps == 1 ? 0 : tap % 3 - 1;
    const long long away = (static_cast<long long>(dx) * ny + dy) * nz + dz;
    const long long begin = blockIdx.z * rows_of_part;
    const long long end = begin + rows_of_part < rows ? begin + rows_of_part : rows;
    const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32, group = lane / 4, member = lane % 4;
    const int column = thread % (ASIDE * UNITS) * UNIT;
    // Of the rows that this thread fetches next.
    Voxel voxels[2 * ASIDE];
#pragma unroll
    for (int i = 0; i < 2 * ASIDE; i++) {
        voxels[i] = Voxel::of(begin + thread / (ASIDE * UNITS) + FETCHED / ASIDE * i, nx, ny, nz);
    }
    const long long steps = (end - begin + SLAB - 1) / SLAB;
    const auto fetch = [&](long long step) {
        const int stage = static_cast<int>(step % STAGES);
#pragma unroll
        for (int i = 0; i < 2 * ASIDE; i++) {
            const int of_slab = thread / (ASIDE * UNITS) + FETCHED / ASIDE * i;
            const long long row = begin + step * SLAB + of_slab;
            const bool is_row = row < end;
            const bool has_x = is_row && first_input + column < inputs && voxels[i].has(dx, dy, dz, nx, ny, nz);
            const bool has_gradient = is_row && first_output + column < outputs;
            const int to = (stage * SLAB + of_slab) * DISTANCE + column;
            copy_async_16(left + to, has_x ? x + (row + away) * inputs + first_input + column : x, has_x);
            const Value* from = has_gradient ? gradient + row * outputs + first_output + column : gradient;
            copy_async_16(right + to, from, has_gradient);
            if (taps > 1) voxels[i].advance(SLAB, nx, ny, nz);
        }
    };
    const int warp_input = 32 * ASIDE * (warp / 2), warp_output = 32 * ASIDE * (warp % 2);
    float sums[2 * ASIDE][4 * ASIDE][4] = {};
    for (int step = 0; step < STAGES - 1; step++) {
        if (step < steps) fetch(step);
        copy_async_commit();
    }
    for (long long step = 0; step < steps; step++) {
        copy_async_wait<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < steps) fetch(step + STAGES - 1);
        copy_async_commit();
        const int stage = static_cast<int>(step % STAGES) * SLAB * DISTANCE;
        const Value* of_x = left + stage + warp_input;
        const Value* of_gradient = right + stage + warp_output;
#pragma unroll
        for (int k = 0; k < SLAB; k += STEP) {
            unsigned a[2 * ASIDE][4], b[2 * ASIDE][2][2];
#pragma unroll
            for (int m = 0; m < 2 * ASIDE; m++) left_of_columns(a[m], of_x + k * DISTANCE + 16 * m, DISTANCE, lane);
#pragma unroll
            for (int n = 0; n < 2 * ASIDE; n++) right_of_rows(b[n], of_gradient + k * DISTANCE + 16 * n, DISTANCE, lane);
#pragma unroll
            for (int m = 0; m < 2 * ASIDE; m++) {
#pragma unroll
                for (int n = 0; n < 4 * ASIDE; n++) multiply_add(sums[m][n], a[m], b[n / 2][n % 2]);
            }
        }
    }
#pragma unroll
    for (int m = 0; m < 2 * ASIDE; m++) {
#pragma unroll
        for (int n = 0; n < 4 * ASIDE; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int input = first_input + warp_input + 16 * m + group + i / 2 * 8;
                const int o = first_output + warp_output + 8 * n + 2 * member + i % 2;
                if (input >= inputs || o >= outputs) continue;
                const long long place = (static_cast<long long>(blockIdx.z) * taps + tap) * inputs + input;
                partial[place * outputs + o] = sums[m][n][i];
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(128) multiply_columns_tensor(
    const Value* x, const Value* gradient, double* partial, long long rows, long long rows_of_part, int inputs, int outputs,
    int taps, int nx, int ny, int nz
) {
    multiply_columns_of_tile<1>(x, gradient, partial, rows, rows_of_part, inputs, outputs, taps, nx, ny, nz);
}

extern "C" __global__ void __launch_bounds__(128, 2) multiply_columns_tensor_wide(
    const Value* x, const Value* gradient, double* partial, long long rows, long long rows_of_part, int inputs, int outputs,
    int taps, int nx, int ny, int nz
) {
    multiply_columns_of_tile<2>(x, gradient, partial, rows, rows_of_part, inputs, outputs, taps, nx, ny, nz);
}

#endif
