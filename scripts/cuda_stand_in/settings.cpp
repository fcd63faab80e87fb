// Settings from the environment, and the seeded generator behind every order the card may choose freely.
#include <cstdlib>
#include <cstring>

#include "stand_in.h"

namespace stand_in {

static uint64_t number(const char* name, uint64_t otherwise) {
    const char* text = getenv(name);
    if (text == nullptr || *text == '\0') {
        return otherwise;
    }
    char* end = nullptr;
    uint64_t value = strtoull(text, &end, 10);
    if (*end != '\0') {
        (Line() << name << " is " << text << ", expected a number").end_process();
    }
    return value;
}

static bool is_chosen(const char* name, const char* usual, const char* other) {
    const char* text = getenv(name);
    if (text == nullptr || strcmp(text, usual) == 0) {
        return false;
    }
    if (strcmp(text, other) != 0) {
        (Line() << name << " is " << text << ", expected " << usual << " or " << other).end_process();
    }
    return true;
}

const Settings& settings() {
    static const Settings read = {
        number("FINESCALE_STAND_IN_MEMORY", 24ull << 30),
        static_cast<int>(number("FINESCALE_STAND_IN_CARDS", 1)),
        static_cast<int>(number("FINESCALE_STAND_IN_CAPABILITY", 80)),
        number("FINESCALE_STAND_IN_SEED", 1),
        is_chosen("FINESCALE_STAND_IN_PAGEABLE", "lazy", "staged"),
        is_chosen("FINESCALE_STAND_IN_FLUSH", "end", "start"),
        is_chosen("FINESCALE_STAND_IN_RACES", "0", "1"),
    };
    return read;
}

unsigned max_shared_bytes() {
    // CUDA C++ Programming Guide, table "Technical Specifications per Compute Capability".
    switch (settings().capability) {
        case 70: return 96 << 10;
        case 75: return 64 << 10;
        case 80: case 87: return 163 << 10;
        case 86: case 89: case 120: return 99 << 10;
        default: return 227 << 10;
    }
}

uint64_t random_below(uint64_t bound) {
    // SplitMix64; the small bias of the remainder does not matter for an order.
    static uint64_t state = settings().seed;
    state += 0x9E3779B97F4A7C15;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return (z ^ (z >> 31)) % bound;
}

void fill_with_poison(void* start, size_t bytes) {
    auto* words = static_cast<uint32_t*>(start);
    for (size_t i = 0; i < bytes / 4; i++) {
        words[i] = POISON;
    }
    const uint32_t word = POISON;
    memcpy(words + bytes / 4, &word, bytes % 4);
}

bool is_poison(const void* start, size_t bytes) {
    const auto* words = static_cast<const uint32_t*>(start);
    for (size_t i = 0; i < bytes / 4; i++) {
        if (words[i] != POISON) {
            return false;
        }
    }
    const uint32_t word = POISON;
    return memcmp(words + bytes / 4, &word, bytes % 4) == 0;
}

}  // namespace stand_in
