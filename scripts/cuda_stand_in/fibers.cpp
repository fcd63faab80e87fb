// Stacks for the threads of a block, and the switch from one to another.
#include <sys/mman.h>

#include "stand_in.h"

namespace stand_in {

constexpr size_t STACK_BYTES = 128 << 10;
constexpr size_t GUARD_BYTES = 4096;
constexpr size_t MOST_STACKS = 1024;

static std::vector<size_t> spare_stacks;
static char* stacks = nullptr;

// Saves the registers that a call must keep, and takes up where `load` was saved. Floating point control is never changed.
asm(R"(
.text
.globl stand_in_switch
.type stand_in_switch, @function
stand_in_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size stand_in_switch, .-stand_in_switch
)");

static void make_stacks() {
    const size_t stride = STACK_BYTES + GUARD_BYTES;
    void* made = mmap(nullptr, stride * MOST_STACKS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    stacks = static_cast<char*>(made);
    for (size_t i = MOST_STACKS; i-- > 0;) {
        mprotect(stacks + i * stride, GUARD_BYTES, PROT_NONE);
        spare_stacks.push_back(i);
    }
}

size_t take_stack() {
    if (stacks == nullptr) {
        make_stacks();
    }
    const size_t stack = spare_stacks.back();
    spare_stacks.pop_back();
    return stack;
}

void give_back_stack(size_t stack) { spare_stacks.push_back(stack); }

void* first_stack_pointer(size_t stack, void (*main)()) {
    char* top = stacks + (stack + 1) * (STACK_BYTES + GUARD_BYTES);
    // Six registers, the address to return to, and a word that leaves the stack as a call would.
    auto** words = reinterpret_cast<void**>(top) - 8;
    words[6] = reinterpret_cast<void*>(main);
    return words;
}

bool describe_stack_address(Line& line, uint64_t address) {
    const auto first = reinterpret_cast<uint64_t>(stacks);
    if (stacks == nullptr || address < first || address >= first + (STACK_BYTES + GUARD_BYTES) * MOST_STACKS) {
        return false;
    }
    line << "a thread's local memory of " << STACK_BYTES << " bytes overflowed, or a pointer into it is wrong";
    return true;
}

}  // namespace stand_in
