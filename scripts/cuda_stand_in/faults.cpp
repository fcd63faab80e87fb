// Messages that end the process, and the signal handler that names what a bad access hit.
#include <csignal>
#include <cstring>
#include <ucontext.h>
#include <unistd.h>

#include "stand_in.h"

namespace stand_in {

constexpr int EXIT_CODE = 86;
Position position;

Line& Line::operator<<(const char* text) {
    while (*text != '\0' && length_ + 2 < sizeof text_) {
        text_[length_++] = *text++;
    }
    return *this;
}

Line& Line::operator<<(uint64_t number) {
    char digits[21];
    char* first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = static_cast<char>('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return *this << first;
}

Line& Line::operator<<(Hex number) {
    char digits[17];
    char* first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = "0123456789abcdef"[number.value % 16];
        number.value /= 16;
    } while (number.value != 0);
    return *this << "0x" << first;
}

Line& Line::operator<<(uint3 index) {
    return *this << "(" << uint64_t{index.x} << ", " << uint64_t{index.y} << ", " << uint64_t{index.z} << ")";
}

void Line::print() {
    static const char start[] = "cuda stand-in: ";
    text_[length_] = '\n';
    // One write, so that lines of several processes do not mix.
    char whole[sizeof text_ + sizeof start];
    memcpy(whole, start, sizeof start - 1);
    memcpy(whole + sizeof start - 1, text_, length_ + 1);
    if (write(STDERR_FILENO, whole, sizeof start + length_) < 0) {
        _exit(EXIT_CODE);
    }
}

void Line::end_process() {
    if (position.kernel != nullptr) {
        *this << "; in kernel " << position.kernel;
        if (position.in_thread) {
            *this << ", block " << position.block << ", thread " << position.thread;
        }
    } else if (position.operation != nullptr) {
        *this << "; while the stream runs: " << position.operation;
    }
    print();
    _exit(EXIT_CODE);
}

static struct sigaction previous_actions[NSIG];

static const char* signal_name(int signal) {
    switch (signal) {
        case SIGSEGV: return "bad access (SIGSEGV)";
        case SIGBUS: return "bad access (SIGBUS)";
        case SIGFPE: return "bad arithmetic (SIGFPE)";
        case SIGILL: return "trap (SIGILL)";
        default: return "trap (SIGTRAP)";
    }
}

void describe_instruction(Line& line, uint64_t instruction) {
    constexpr uint64_t LONGEST_LIBRARY = 64 << 20;
    if (instruction >= position.library_base && instruction - position.library_base < LONGEST_LIBRARY) {
        line << " (for the line: addr2line -e " << position.library << " " << Hex{instruction - position.library_base} << ")";
    }
}

static void handle(int signal, siginfo_t* info, void* context) {
    const auto address = reinterpret_cast<uint64_t>(info->si_addr);
    const bool is_access = signal == SIGSEGV || signal == SIGBUS;
    const bool busy = position.kernel != nullptr || position.operation != nullptr;
    const bool running = busy && pthread_equal(position.runner, pthread_self()) != 0;
    if (!running && !(is_access && is_device_address(address))) {
        // None of our business: the handler before us sees the fault again.
        sigaction(signal, &previous_actions[signal], nullptr);
        return;
    }
    Line line;
    line << signal_name(signal);
    if (is_access) {
        line << " at " << Hex{address} << ": ";
        if (!describe_stack_address(line, address) && !describe_shared_address(line, address)) {
            describe_address(line, address);
        }
        if (position.in_thread) {
            describe_instruction(line, static_cast<uint64_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]));
        }
        if (running && position.kernel == nullptr && !is_device_address(address)) {
            line << "; host memory that the operation needs is gone";
        }
        if (!running) {
            line << "; the host used a device address";
        }
    }
    line.end_process();
}

void install_fault_handler() {
    for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) {
        struct sigaction action = {};
        action.sa_sigaction = handle;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(signal, &action, &previous_actions[signal]);
    }
}

FaultStack::FaultStack() {
    alignas(16) static char memory[64 << 10];
    stack_t ours = {};
    ours.ss_sp = memory;
    ours.ss_size = sizeof memory;
    auto* previous = new stack_t;
    sigaltstack(&ours, previous);
    previous_ = previous;
    position.runner = pthread_self();
}

FaultStack::~FaultStack() {
    auto* previous = static_cast<stack_t*>(previous_);
    sigaltstack(previous, nullptr);
    delete previous;
}

}  // namespace stand_in
