// Multi-head self-attention without the matrix of all scores: a block has 16 queries (or keys) and meets the others 32 at a time.
// Sums over those 32 are added to the sums so far, which costs fewer digits than one long sum.
// qkv (sample, points, heads, 3, dim); output (sample, points, heads, dim).
//
// Vaswani et al. 2017, arXiv:1706.03762, eq. 1; running maxima and the scores computed again on the way back as in Dao et al. 2022,
// arXiv:2205.14135, algorithms 1 and 4.

static const int OWN = 16;
static const int MET = 32;
static const int THREADS = 128;
// What no score is as low as; its exponential is zero.
static const float LOWEST = -3.0e38f;

// One head of one sample.
struct Head {
    long long width;  // values of a row of qkv
    long long output_width;
    const Value* qkv; // of the head's first query
    long long output; // of the head's first output
};

__device__ __forceinline__ Head head_of(const Value* qkv, int points, int heads, int dim) {
    const long long sample = blockIdx.y / heads, head = blockIdx.y % heads;
    const long long width = 3LL * heads * dim, output_width = static_cast<long long>(heads) * dim;
    return {width, output_width, qkv + sample * points * width + head * 3 * dim, sample * points * output_width + head * dim};
}

// Rows first.. of some values into shared memory, zeros beyond the last.
__device__ __forceinline__ void fetch(
    float* to, int stride, const Value* from, long long width, int first, int count, int points, int dim
) {
    for (int i = threadIdx.x; i < count * dim; i += THREADS) {
        const int row = i / dim, d = i % dim;
        to[row * stride + d] = first + row < points ? from[(first + row) * width + d] : 0.0f;
    }
}

template <class T>
__device__ __forceinline__ float dot(const T* a, const T* b, int dim) {
    float sum = 0.0f;
    for (int d = 0; d < dim; d++) sum = fmaf(a[d], b[d], sum);
    return sum;
}

// Blocks: (tiles of queries, samples times heads). kept (sample, heads, points): ln of the sums of exponentials.
extern "C" __global__ void __launch_bounds__(128) attention(
    const Value* qkv, Value* output, float* kept, int points, int heads, int dim, float scale
) {
    const int stride = dim + 1;
    float* query = dynamic_shared<float>();  // (OWN, stride)
    float* key = query + OWN * stride;       // (MET, stride)
    float* value = key + MET * stride;       // (MET, stride)
    float* mixed = value + MET * stride;     // (OWN, stride)
    float* weight = mixed + OWN * stride;    // (OWN, MET)
    float* highest = weight + OWN * MET;     // (OWN)
    float* sum = highest + OWN;              // (OWN)
    float* correction = sum + OWN;           // (OWN)
    const Head head = head_of(qkv, points, heads, dim);
    const int first = blockIdx.x * OWN, thread = threadIdx.x;
    fetch(query, stride, head.qkv, head.width, first, OWN, points, dim);
    for (int i = thread; i < OWN * stride; i += THREADS) mixed[i] = 0.0f;
    if (thread < OWN) {
        highest[thread] = LOWEST;
        sum[thread] = 0.0f;
    }
    for (int met = 0; met < points; met += MET) {
        __syncthreads();
        fetch(key, stride, head.qkv + dim, head.width, met, MET, points, dim);
        fetch(value, stride, head.qkv + 2 * dim, head.width, met, MET, points, dim);
        __syncthreads();
        for (int i = thread; i < OWN * MET; i += THREADS) {
            const int q = i / MET, k = i % MET;
            weight[i] = met + k < points ? scale * dot(query + q * stride, key + k * stride, dim) : LOWEST;
        }
        __syncthreads();
        if (thread < OWN) {
            float* row = weight + thread * MET;
            float most = highest[thread];
            for (int k = 0; k < MET; k++) most = fmaxf(most, row[k]);
            correction[thread] = expf(highest[thread] - most);
            float total = sum[thread] * correction[thread];
            for (int k = 0; k < MET; k++) {
                row[k] = expf(row[k] - most);
                total += row[k];
            }
            highest[thread] = most;
            sum[thread] = total;
        }
        __syncthreads();
        for (int i = thread; i < OWN * dim; i += THREADS) {
            const int q = i / dim, d = i % dim;
            float mix = 0.0f;
            for (int k = 0; k < MET; k++) mix = fmaf(weight[q * MET + k], value[k * stride + d], mix);
            mixed[q * stride + d] = fmaf(mixed[q * stride + d], correction[q], mix);
        }
    }
    __syncthreads();
    for (int i = thread; i < OWN * dim; i += THREADS) {
        const int q = i / dim, d = i % dim;
        if (first + q < points) {
            output[head.output + (first + q) * head.output_width + d] = mixed[q * stride + d] / sum[q];
        }
    }
    if (thread < OWN && first + thread < points) {
        kept[static_cast<long long>(blockIdx.y) * points + first + thread] = highest[thread] + logf(sum[thread]);
    }
}

// along (sample, heads, points): the gradient by each output times that output.
extern "C" __global__ void attention_along(
    const Value* output, const Value* gradient, float* along, int points, int heads, int dim, long long count
) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        const long long point = i % points, head = i / points % heads, sample = i / points / heads;
        const long long at = ((sample * points + point) * heads + head) * dim;
        along[i] = dot(output + at, gradient + at, dim);
    }
}

// Weights of queries for keys, and the gradients by their scores, of a tile: (rows of `mine`, rows of `met`), where `mine` and
// `met` are queries and keys, or the other way around.
struct Tile {
    const float* query;
    const float* key;
    const float* value;
    const float* gradient;
    const float* kept;
    const float* along;
    int stride, dim;
    float scale;

    __device__ __forceinline__ void at(int q, int k, bool is_there, float* weight, float* by_score) const {
        const float score = scale * dot(query + q * stride, key + k * stride, dim);
        *weight = is_there ? expf(score - kept[q]) : 0.0f;
        *by_score = scale * *weight * (dot(gradient + q * stride, value + k * stride, dim) - along[q]);
    }
};

// The gradients by queries. Blocks: (tiles of queries, samples times heads).
extern "C" __global__ void __launch_bounds__(128) attention_by_queries(
    const Value* qkv, const Value* gradient, const float* kept, const float* along, Value* by_qkv, int points, int heads,
    int dim, float scale
) {
    const int stride = dim + 1;
    float* query = dynamic_shared<float>();   // (OWN, stride)
    float* given = query + OWN * stride;      // (OWN, stride)
    float* key = given + OWN * stride;        // (MET, stride)
    float* value = key + MET * stride;        // (MET, stride)
    float* by_score = value + MET * stride;   // (OWN, MET)
    float* by_query = by_score + OWN * MET;   // (OWN, stride)
    float* own_kept = by_query + OWN * stride; // (OWN)
    float* own_along = own_kept + OWN;        // (OWN)
    const Head head = head_of(qkv, points, heads, dim);
    const int first = blockIdx.x * OWN, thread = threadIdx.x;
    fetch(query, stride, head.qkv, head.width, first, OWN, points, dim);
    fetch(given, stride, gradient + head.output, head.output_width, first, OWN, points, dim);
    for (int i = thread; i < OWN * stride; i += THREADS) by_query[i] = 0.0f;
    if (thread < OWN) {
        const bool is_there = first + thread < points;
        const long long at = static_cast<long long>(blockIdx.y) * points + first + thread;
        own_kept[thread] = is_there ? kept[at] : 0.0f;
        own_along[thread] = is_there ? along[at] : 0.0f;
    }
    const Tile tile = {query, key, value, given, own_kept, own_along, stride, dim, scale};
    for (int met = 0; met < points; met += MET) {
        __syncthreads();
        fetch(key, stride, head.qkv + dim, head.width, met, MET, points, dim);
        fetch(value, stride, head.qkv + 2 * dim, head.width, met, MET, points, dim);
        __syncthreads();
        for (int i = thread; i < OWN * MET; i += THREADS) {
            const int q = i / MET, k = i % MET;
            float weight;
            tile.at(q, k, first + q < points && met + k < points, &weight, by_score + i);
        }
        __syncthreads();
        for (int i = thread; i < OWN * dim; i += THREADS) {
            const int q = i / dim, d = i % dim;
            float by = 0.0f;
            for (int k = 0; k < MET; k++) by = fmaf(by_score[q * MET + k], key[k * stride + d], by);
            by_query[q * stride + d] += by;
        }
    }
    __syncthreads();
    const long long begin = head.qkv - qkv;
    for (int i = thread; i < OWN * dim; i += THREADS) {
        const int q = i / dim, d = i % dim;
        if (first + q < points) by_qkv[begin + (first + q) * head.width + d] = by_query[q * stride + d];
    }
}

// The gradients by keys and values. Blocks: (tiles of keys, samples times heads).
extern "C" __global__ void __launch_bounds__(128) attention_by_keys(
    const Value* qkv, const Value* gradient, const float* kept, const float* along, Value* by_qkv, int points, int heads,
    int dim, float scale
) {
    const int stride = dim + 1;
    float* key = dynamic_shared<float>();     // (OWN, stride)
    float* value = key + OWN * stride;        // (OWN, stride)
    float* query = value + OWN * stride;      // (MET, stride)
    float* given = query + MET * stride;      // (MET, stride)
    float* weight = given + MET * stride;     // (OWN, MET)
    float* by_score = weight + OWN * MET;     // (OWN, MET)
    float* by_key = by_score + OWN * MET;     // (OWN, stride)
    float* by_value = by_key + OWN * stride;  // (OWN, stride)
    float* met_kept = by_value + OWN * stride; // (MET)
    float* met_along = met_kept + MET;        // (MET)
    const Head head = head_of(qkv, points, heads, dim);
    const int first = blockIdx.x * OWN, thread = threadIdx.x;
    fetch(key, stride, head.qkv + dim, head.width, first, OWN, points, dim);
    fetch(value, stride, head.qkv + 2 * dim, head.width, first, OWN, points, dim);
    for (int i = thread; i < OWN * stride; i += THREADS) by_key[i] = by_value[i] = 0.0f;
    const Tile tile = {query, key, value, given, met_kept, met_along, stride, dim, scale};
    for (int met = 0; met < points; met += MET) {
        __syncthreads();
        fetch(query, stride, head.qkv, head.width, met, MET, points, dim);
        fetch(given, stride, gradient + head.output, head.output_width, met, MET, points, dim);
        if (thread < MET) {
            const bool is_there = met + thread < points;
            const long long at = static_cast<long long>(blockIdx.y) * points + met + thread;
            met_kept[thread] = is_there ? kept[at] : 0.0f;
            met_along[thread] = is_there ? along[at] : 0.0f;
        }
        __syncthreads();
        for (int i = thread; i < OWN * MET; i += THREADS) {
            const int k = i / MET, q = i % MET;
            tile.at(q, k, first + k < points && met + q < points, weight + i, by_score + i);
        }
        __syncthreads();
        for (int i = thread; i < OWN * dim; i += THREADS) {
            const int k = i / dim, d = i % dim;
            float of_key = 0.0f, of_value = 0.0f;
            for (int q = 0; q < MET; q++) {
                of_key = fmaf(by_score[k * MET + q], query[q * stride + d], of_key);
                of_value = fmaf(weight[k * MET + q], given[q * stride + d], of_value);
            }
            by_key[k * stride + d] += of_key;
            by_value[k * stride + d] += of_value;
        }
    }
    __syncthreads();
    const long long begin = head.qkv - qkv;
    for (int i = thread; i < OWN * dim; i += THREADS) {
        const int k = i / dim, d = i % dim;
        if (first + k >= points) continue;
        const long long at = begin + (first + k) * head.width + d;
        by_qkv[at + dim] = by_key[k * stride + d];
        by_qkv[at + 2 * dim] = by_value[k * stride + d];
    }
}
