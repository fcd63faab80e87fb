// Convolutions and linear layers as products of matrices whose left one is never written down: its row is a voxel, its columns
// are the channels of each of the voxel's neighbours. Tiles of 64 x 64 outputs, 16 columns deep; 256 threads hold 4 x 4 sums each.

static const int TILE = 64;
static const int DEPTH = 16;

// The row of a neighbour, or -1 beyond the faces of the volume.
__device__ __forceinline__ long long neighbour(long long row, int tap, int taps, int nx, int ny, int nz) {
    if (taps == 1) return row;
    int dx = tap / 9 - 1, dy = tap / 3 % 3 - 1, dz = tap % 3 - 1;
    int z = static_cast<int>(row % nz) + dz;
    int y = static_cast<int>(row / nz % ny) + dy;
    int x = static_cast<int>(row / (static_cast<long long>(nz) * ny) % nx) + dx;
    bool inside = x >= 0 && x < nx && y >= 0 && y < ny && z >= 0 && z < nz;
    return inside ? row + (static_cast<long long>(dx) * ny + dy) * nz + dz : -1;
}

// packed (taps, inputs, outputs) from weights that lie `input_stride` and `output_stride` apart, the taps of each one after another;
// zeros beyond the inputs and outputs that the layer has.
template <class To>
__device__ __forceinline__ void pack(
    const float* weight, To* packed, int taps, int inputs, int outputs, int own_inputs, int own_outputs, long long input_stride,
    long long output_stride, int reversed, long long count
) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        long long output = i % outputs, input = i / outputs % inputs, tap = i / outputs / inputs;
        if (reversed) tap = taps - 1 - tap;
        const bool is_there = input < own_inputs && output < own_outputs;
        packed[i] = is_there ? weight[output * output_stride + input * input_stride + tap] : 0.0f;
    }
}

extern "C" __global__ void pack_weights(
    const float* weight, float* packed, int taps, int inputs, int outputs, int own_inputs, int own_outputs,
    long long input_stride, long long output_stride, int reversed, long long count
) {
    pack(weight, packed, taps, inputs, outputs, own_inputs, own_outputs, input_stride, output_stride, reversed, count);
}

// Rounded as volumes are: tensor cores multiply values of one kind.
extern "C" __global__ void pack_weights_for_tensor_cores(
    const float* weight, Value* packed, int taps, int inputs, int outputs, int own_inputs, int own_outputs,
    long long input_stride, long long output_stride, int reversed, long long count
) {
    pack(weight, packed, taps, inputs, outputs, own_inputs, own_outputs, input_stride, output_stride, reversed, count);
}

// output (rows, outputs) = sum over taps of x (neighbour's row, inputs) packed (tap, inputs, outputs), + bias + plus.
// `bias` and `plus` may be missing; `plus` may be `output` itself.
extern "C" __global__ void __launch_bounds__(256) multiply_rows(
    const Value* x, const float* packed, const float* bias, const Value* plus, Value* output, long long rows, int inputs,
    int outputs, int taps, int nx, int ny, int nz
) {
    float* left = dynamic_shared<float>();   // (DEPTH, TILE + 4): a column of the tile after another
    float* right = left + DEPTH * (TILE + 4); // (DEPTH, TILE)
    const long long first_row = static_cast<long long>(blockIdx.x) * TILE;
    const int first_output = blockIdx.y * TILE;
    const int thread = threadIdx.x;
    // What each thread fetches: 4 channels of a row, and 4 outputs of a weight's row.
    const long long row = first_row + thread / 4;
    const int left_column = thread % 4 * 4, right_row = thread / 16, right_column = thread % 16 * 4;
    // What it sums: rows 4 r..., outputs 4 c...
    const int r = thread / 16, c = thread % 16;
    float sums[4][4] = {};
    for (int tap = 0; tap < taps; tap++) {
        const long long from = row < rows ? neighbour(row, tap, taps, nx, ny, nz) : -1;
        for (int k = 0; k < inputs; k += DEPTH) {
            for (int i = 0; i < 4; i++) {
                const int input = k + left_column + i;
                const bool is_there = from >= 0 && input < inputs;
                left[(left_column + i) * (TILE + 4) + thread / 4] = is_there ? x[from * inputs + input] : 0.0f;
            }
            for (int i = 0; i < 4; i++) {
                const int input = k + right_row, o = first_output + right_column + i;
                const bool is_there = input < inputs && o < outputs;
                right[right_row * TILE + right_column + i] =
                    is_there ? packed[(static_cast<long long>(tap) * inputs + input) * outputs + o] : 0.0f;
            }
            __syncthreads();
            for (int d = 0; d < DEPTH; d++) {
                for (int i = 0; i < 4; i++) {
                    const float value = left[d * (TILE + 4) + 4 * r + i];
                    for (int j = 0; j < 4; j++) sums[i][j] = fmaf(value, right[d * TILE + 4 * c + j], sums[i][j]);
                }
            }
            __syncthreads();
        }
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            const long long to_row = first_row + 4 * r + i;
            const int o = first_output + 4 * c + j;
            if (to_row >= rows || o >= outputs) continue;
            const long long at = to_row * outputs + o;
            float value = sums[i][j];
            if (bias) value += bias[o];
            if (plus) value += plus[at];
            output[at] = value;
        }
    }
}

// Rows that are summed in f32 before the sum goes into f64.
static const int SUMMED_ROWS = 2048;

// partial (part, tap, inputs, outputs) = sums over a part's rows of x (neighbour's row, inputs) gradient (row, outputs).
// Blocks: (tiles of inputs times tiles of outputs, taps, parts of `rows_of_part` rows).
extern "C" __global__ void __launch_bounds__(256) multiply_columns(
    const Value* x, const Value* gradient, double* partial, long long rows, long long rows_of_part, int inputs, int outputs,
    int taps, int nx, int ny, int nz
) {
    float* left = dynamic_shared<float>(); // (DEPTH, TILE): rows of x
    float* right = left + DEPTH * TILE;    // (DEPTH, TILE): rows of the gradient
    const int output_tiles = (outputs + TILE - 1) / TILE;
    const int first_input = blockIdx.x / output_tiles * TILE, first_output = blockIdx.x % output_tiles * TILE;
    const int tap = blockIdx.y, thread = threadIdx.x;
    const long long begin = blockIdx.z * rows_of_part;
    const long long end = begin + rows_of_part < rows ? begin + rows_of_part : rows;
    const int fetched_row = thread / 16, fetched = thread % 16 * 4;
    const int r = thread / 16, c = thread % 16;
    double totals[4][4] = {};
    for (long long block = begin; block < end; block += SUMMED_ROWS) {
        const long long block_end = block + SUMMED_ROWS < end ? block + SUMMED_ROWS : end;
        float sums[4][4] = {};
        for (long long first = block; first < block_end; first += DEPTH) {
            const long long row = first + fetched_row;
            const long long from = row < block_end ? neighbour(row, tap, taps, nx, ny, nz) : -1;
            for (int i = 0; i < 4; i++) {
                const int input = first_input + fetched + i, o = first_output + fetched + i;
                left[fetched_row * TILE + fetched + i] = from >= 0 && input < inputs ? x[from * inputs + input] : 0.0f;
                right[fetched_row * TILE + fetched + i] =
                    row < block_end && o < outputs ? gradient[row * outputs + o] : 0.0f;
            }
            __syncthreads();
            for (int d = 0; d < DEPTH; d++) {
                for (int i = 0; i < 4; i++) {
                    const float value = left[d * TILE + 4 * r + i];
                    for (int j = 0; j < 4; j++) sums[i][j] = fmaf(value, right[d * TILE + 4 * c + j], sums[i][j]);
                }
            }
            __syncthreads();
        }
        for (int i = 0; i < 4; i++) {
            for (int j = 0; j < 4; j++) totals[i][j] += sums[i][j];
        }
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            const int input = first_input + 4 * r + i, o = first_output + 4 * c + j;
            if (input >= inputs || o >= outputs) continue;
            const long long place = (static_cast<long long>(blockIdx.z) * taps + tap) * inputs + input;
            partial[place * outputs + o] = totals[i][j];
        }
    }
}

// weight (own outputs, all inputs, taps) from `first` on = sums over all parts of partial (part, tap, inputs, outputs), of the inputs and
// outputs that the layer has.
extern "C" __global__ void sum_parts_of_weights(
    const double* partial, float* weight, int parts, int taps, int inputs, int outputs, int own_inputs, int own_outputs, int first,
    int all_inputs, long long count
) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        const long long output = i % outputs, input = i / outputs % inputs, tap = i / outputs / inputs;
        if (input >= own_inputs || output >= own_outputs) continue;
        double sum = 0.0;
        for (int part = 0; part < parts; part++) sum += partial[part * count + i];
        weight[(output * all_inputs + first + input) * taps + tap] = static_cast<float>(sum);
    }
}
