// Where the compiler's checks arrive: of undefined behaviour, whose calls never return, and of every access, in a kernel
// compiled to look for races. The names and the first fields of the data are those that g++ calls.
#pragma once

namespace stand_in {

struct Place {
    const char* file;
    unsigned line, column;
};

inline const Hooks* hooks;

[[noreturn]] inline void undefined(const char* what, const void* data) {
    const Place* place = static_cast<const Place*>(data);
    hooks->fault(what, place->file, static_cast<int>(place->line));
    __builtin_unreachable();
}

/// Called for every access, so not to be watched itself. While the file is being loaded there are no hooks yet.
__attribute__((no_sanitize("thread"))) inline void note(const void* address, size_t bytes, bool write, const void* instruction) {
    if (hooks != nullptr) {
        hooks->access(address, bytes, write, instruction);
    }
}

}  // namespace stand_in

extern "C" {
void __ubsan_handle_add_overflow_abort(void* data, void*, void*) { stand_in::undefined("signed integer overflow in a sum", data); }
void __ubsan_handle_sub_overflow_abort(void* data, void*, void*) { stand_in::undefined("signed integer overflow in a difference", data); }
void __ubsan_handle_mul_overflow_abort(void* data, void*, void*) { stand_in::undefined("signed integer overflow in a product", data); }
void __ubsan_handle_negate_overflow_abort(void* data, void*) { stand_in::undefined("signed integer overflow in a negation", data); }
void __ubsan_handle_divrem_overflow_abort(void* data, void*, void*) { stand_in::undefined("integer division by zero", data); }
void __ubsan_handle_shift_out_of_bounds_abort(void* data, void*, void*) { stand_in::undefined("shift by too many bits, or of a negative number", data); }
void __ubsan_handle_out_of_bounds_abort(void* data, void*) { stand_in::undefined("index outside a local array", data); }
void __ubsan_handle_type_mismatch_v1_abort(void* data, void*) { stand_in::undefined("misaligned access", data); }
void __ubsan_handle_float_cast_overflow_abort(void* data, void*) { stand_in::undefined("float outside the range of the integer it becomes", data); }

void __tsan_init() {}
void __tsan_read2(void* at) { stand_in::note(at, 2, false, __builtin_return_address(0)); }
void __tsan_read4(void* at) { stand_in::note(at, 4, false, __builtin_return_address(0)); }
void __tsan_read8(void* at) { stand_in::note(at, 8, false, __builtin_return_address(0)); }
void __tsan_read16(void* at) { stand_in::note(at, 16, false, __builtin_return_address(0)); }
void __tsan_read_range(void* at, size_t bytes) { stand_in::note(at, bytes, false, __builtin_return_address(0)); }
void __tsan_write2(void* at) { stand_in::note(at, 2, true, __builtin_return_address(0)); }
void __tsan_write4(void* at) { stand_in::note(at, 4, true, __builtin_return_address(0)); }
void __tsan_write8(void* at) { stand_in::note(at, 8, true, __builtin_return_address(0)); }
void __tsan_write16(void* at) { stand_in::note(at, 16, true, __builtin_return_address(0)); }
void __tsan_write_range(void* at, size_t bytes) { stand_in::note(at, bytes, true, __builtin_return_address(0)); }
// Bytes are left out: the check keeps one record for two of them.
void __tsan_read1(void*) {}
void __tsan_write1(void*) {}
}
