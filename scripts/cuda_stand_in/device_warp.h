// What the threads of a block and the lanes of a warp do together.
#pragma once

// The line of the call is a default argument, which the compiler takes where the kernel calls.

inline void __syncthreads(int line = __builtin_LINE()) { stand_in::hooks->barrier(line); }

namespace stand_in {

inline unsigned lane() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32; }

/// What lane `from` gave; poison from a lane that took no part.
template <class T>
inline T given_by(const Gathered* all, unsigned from) {
    T value;
    if ((all->present >> from & 1) != 0) {
        memcpy(&value, all->values[from], sizeof value);
    } else {
        memset(&value, 0x7F, sizeof value);
    }
    return value;
}

template <class T>
inline Gathered* give(const char* what, unsigned mask, int line, const T& mine, bool whole_warp = false) {
    static_assert(sizeof(T) <= 32, "a lane gives 32 bytes at most");
    return hooks->gather(what, mask, line, &mine, sizeof mine, whole_warp);
}

}  // namespace stand_in

inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, int line = __builtin_LINE()) { stand_in::give("__syncwarp", mask, line, 0); }

template <class T>
inline T __shfl_sync(unsigned mask, T value, int from, int width = 32, int line = __builtin_LINE()) {
    const unsigned first = stand_in::lane() / static_cast<unsigned>(width) * static_cast<unsigned>(width);
    const auto* all = stand_in::give("__shfl_sync", mask, line, value);
    return stand_in::given_by<T>(all, first + static_cast<unsigned>(from) % static_cast<unsigned>(width));
}

template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int flip, int width = 32, int line = __builtin_LINE()) {
    const unsigned mine = stand_in::lane(), segment = static_cast<unsigned>(width);
    const unsigned from = mine ^ static_cast<unsigned>(flip);
    const auto* all = stand_in::give("__shfl_xor_sync", mask, line, value);
    return from / segment > mine / segment || from >= 32 ? value : stand_in::given_by<T>(all, from);
}

template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, int line = __builtin_LINE()) {
    const unsigned mine = stand_in::lane(), segment = static_cast<unsigned>(width);
    const auto* all = stand_in::give("__shfl_down_sync", mask, line, value);
    return mine % segment + delta >= segment ? value : stand_in::given_by<T>(all, mine + delta);
}

template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, int line = __builtin_LINE()) {
    const unsigned mine = stand_in::lane(), segment = static_cast<unsigned>(width);
    const auto* all = stand_in::give("__shfl_up_sync", mask, line, value);
    return mine % segment < delta ? value : stand_in::given_by<T>(all, mine - delta);
}

namespace stand_in {
inline unsigned ballot(const char* what, unsigned mask, int predicate, int line) {
    const Gathered* all = give(what, mask, line, predicate);
    unsigned votes = 0;
    for (unsigned from = 0; from < 32; from++) {
        if ((all->present >> from & 1) != 0 && given_by<int>(all, from) != 0) {
            votes |= 1u << from;
        }
    }
    return votes;
}
}  // namespace stand_in

inline unsigned __ballot_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return stand_in::ballot("__ballot_sync", mask, predicate, line);
}
inline int __any_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return stand_in::ballot("__any_sync", mask, predicate, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, int line = __builtin_LINE()) {
    return stand_in::ballot("__all_sync", mask, predicate == 0, line) == 0;
}

// As on a card, what needs capability 8.0 is there only if the program compiles for it.
#if __CUDA_ARCH__ >= 800

// Tensor cores. The places of the elements in the lanes' registers are those of the PTX ISA, chapter
// "Matrix multiply-accumulate operation using mma instruction": group = lane / 4, place = lane % 4.

namespace stand_in {

struct Fragments {
    unsigned a[4], b[2];
};

inline float bf16_half(unsigned pair, unsigned half) { return bits<float>(half == 0 ? pair << 16 : pair & 0xFFFF0000u); }
/// The hardware reads the upper 19 bits of the word.
inline float tf32(unsigned word) { return bits<float>(word & 0xFFFFE000u); }

/// Element (row, k) of a and (k, column) of b in the lanes' registers, for bf16 with K = 16 and for tf32 with K = 8.
template <int K>
inline float element_of_a(const Fragments (&lanes)[32], int row, int k) {
    constexpr int per_register = K / 8;
    const int within = k % (4 * per_register), upper = k / (4 * per_register);
    const unsigned word = lanes[row % 8 * 4 + within / per_register].a[row / 8 + 2 * upper];
    return per_register == 2 ? bf16_half(word, static_cast<unsigned>(k % 2)) : tf32(word);
}
template <int K>
inline float element_of_b(const Fragments (&lanes)[32], int k, int column) {
    constexpr int per_register = K / 8;
    const int within = k % (4 * per_register), upper = k / (4 * per_register);
    const unsigned word = lanes[column * 4 + within / per_register].b[upper];
    return per_register == 2 ? bf16_half(word, static_cast<unsigned>(k % 2)) : tf32(word);
}

template <int K>
inline void multiply(Gathered* all) {
    Fragments lanes[32];
    for (int lane = 0; lane < 32; lane++) {
        memcpy(&lanes[lane], all->values[lane], sizeof lanes[lane]);
    }
    Gathered::Eight b[K];
    for (int k = 0; k < K; k++) {
        for (int column = 0; column < 8; column++) {
            b[k][column] = element_of_b<K>(lanes, k, column);
        }
    }
    for (int row = 0; row < 16; row++) {
        Gathered::Eight sum = {};
        for (int k = 0; k < K; k++) {
            sum += element_of_a<K>(lanes, row, k) * b[k];
        }
        all->product[row] = sum;
    }
    all->worked_out = true;
}

template <int K>
inline void multiply_add(const char* what, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], int line) {
    Fragments mine;
    memcpy(mine.a, a, sizeof mine.a);
    memcpy(mine.b, b, sizeof mine.b);
    Gathered* all = give(what, 0xFFFFFFFFu, line, mine, true);
    if (!all->worked_out) {
        multiply<K>(all);
    }
    const unsigned group = lane() / 4, place = lane() % 4;
    for (unsigned i = 0; i < 4; i++) {
        d[i] += all->product[group + i / 2 * 8][2 * place + i % 2];
    }
}

}  // namespace stand_in

/// d += a b for a 16 by 16 matrix a (rows) and a 16 by 8 matrix b (columns), all lanes of the warp together.
inline void mma_m16n8k16_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], int line = __builtin_LINE()) {
    stand_in::multiply_add<16>("mma_m16n8k16_bf16", d, a, b, line);
}

/// d += a b for a 16 by 8 matrix a (rows) and an 8 by 8 matrix b (columns), all lanes of the warp together.
inline void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], int line = __builtin_LINE()) {
    stand_in::multiply_add<8>("mma_m16n8k8_tf32", d, a, b, line);
}

#endif  // capability 8.0

namespace stand_in {

struct Row {
    unsigned short elements[8];
};

inline const Gathered* give_row(const char* what, const void* row, int line) {
    hooks->require_shared(what, row, 16);
    Row mine;
    memcpy(&mine, row, sizeof mine);
    return give(what, 0xFFFFFFFFu, line, mine, true);
}

inline unsigned pair(unsigned short low, unsigned short high) { return low | static_cast<unsigned>(high) << 16; }

}  // namespace stand_in

/// Four 8 by 8 matrices of 16-bit elements; lanes 8 i to 8 i + 7 give the addresses of the rows of matrix i.
inline void ldmatrix_x4(unsigned (&r)[4], const void* row, int line = __builtin_LINE()) {
    const auto* all = stand_in::give_row("ldmatrix_x4", row, line);
    const unsigned group = stand_in::lane() / 4, place = stand_in::lane() % 4;
    for (unsigned i = 0; i < 4; i++) {
        const auto from = stand_in::given_by<stand_in::Row>(all, 8 * i + group);
        r[i] = stand_in::pair(from.elements[2 * place], from.elements[2 * place + 1]);
    }
}

/// The same for the transposed matrices.
inline void ldmatrix_x4_transposed(unsigned (&r)[4], const void* row, int line = __builtin_LINE()) {
    const auto* all = stand_in::give_row("ldmatrix_x4_transposed", row, line);
    const unsigned group = stand_in::lane() / 4, place = stand_in::lane() % 4;
    for (unsigned i = 0; i < 4; i++) {
        const auto upper = stand_in::given_by<stand_in::Row>(all, 8 * i + 2 * place);
        const auto lower = stand_in::given_by<stand_in::Row>(all, 8 * i + 2 * place + 1);
        r[i] = stand_in::pair(upper.elements[group], lower.elements[group]);
    }
}

#if __CUDA_ARCH__ >= 800

/// The bits of the nearest bfloat16, of two the even one; a NaN becomes the card's.
inline unsigned short to_bf16(float value) {
    const unsigned bits = __float_as_uint(value);
    if (value != value) {
        return 0x7FFF;
    }
    return static_cast<unsigned short>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

/// Starts a copy of 16 bytes from global to shared memory; zeros instead, and nothing is read, if not `valid`.
inline void copy_async_16(void* shared, const void* global, bool valid, int line = __builtin_LINE()) {
    stand_in::hooks->require_shared("copy_async_16", shared, 16);
    if (valid && reinterpret_cast<size_t>(global) % 16 != 0) {
        stand_in::hooks->fault("copy_async_16: misaligned global address", "the kernel,", line);
    }
    stand_in::hooks->copy_async(shared, global, valid);
}
inline void copy_async_commit() { stand_in::hooks->copy_async_commit(); }
/// Waits until at most the last N committed groups of copies are still on their way.
template <int N>
inline void copy_async_wait() {
    stand_in::hooks->copy_async_wait(N);
}

#endif  // capability 8.0
