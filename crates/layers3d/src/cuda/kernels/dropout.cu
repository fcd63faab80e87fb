// Which units dropout keeps: the same as on the CPU, bit for bit.

// Four random words from a counter and a key: Philox4x32-10 of Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
__device__ __forceinline__ void philox(unsigned (&x)[4], unsigned key0, unsigned key1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const unsigned long long a = 0xD2511F53ull * x[0], b = 0xCD9E8D57ull * x[2];
        x[0] = static_cast<unsigned>(b >> 32) ^ x[1] ^ key0;
        x[1] = static_cast<unsigned>(b);
        x[2] = static_cast<unsigned>(a >> 32) ^ x[3] ^ key1;
        x[3] = static_cast<unsigned>(a);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

// bits (count words): a unit's bit is set where its random word is not below `dropped_below`. A thread makes the 32 bits of a word from
// eight blocks of four random words.
extern "C" __global__ void kept_bits(
    unsigned* bits, long long first_block, unsigned step, unsigned purpose, unsigned key0, unsigned key1, unsigned dropped_below,
    long long count
) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        unsigned word = 0;
        for (int block = 0; block < 8; block++) {
            const unsigned long long number = static_cast<unsigned long long>(first_block) + 8 * i + block;
            unsigned x[4] = {static_cast<unsigned>(number), static_cast<unsigned>(number >> 32), step, purpose};
            philox(x, key0, key1);
#pragma unroll
            for (int lane = 0; lane < 4; lane++) word |= (x[lane] >= dropped_below ? 1u : 0u) << (4 * block + lane);
        }
        bits[i] = word;
    }
}

// factor x where a unit's bit is set, and zero elsewhere.
extern "C" __global__ void keep(const Value* x, const unsigned* bits, Value* y, float factor, long long count) {
    for (long long i = thread_number(); i < count; i += all_threads()) {
        y[i] = bits[i / 32] >> (i % 32) & 1u ? factor * x[i] : 0.0f;
    }
}
