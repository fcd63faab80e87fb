// Allocation, copies and fills of the driver interface.
#include <cstring>

#include "stand_in.h"

namespace stand_in {

static void* pointer(uint64_t address) { return reinterpret_cast<void*>(address); }

static bool is_pinned(const void* host) {
    const Allocation* a = find_allocation(reinterpret_cast<uint64_t>(host));
    return a != nullptr && a->pinned;
}

/// The device memory of a copy, and the host's too if it is pinned.
static std::vector<Allocation*> uses_of(Allocation& device, const void* host, size_t bytes) {
    if (!is_pinned(host)) {
        return {&device};
    }
    return {&device, &require_range(reinterpret_cast<uint64_t>(host), bytes, "the pinned side of a copy", When::queued)};
}

static Result allocate_on_card(uint64_t* address, size_t bytes) {
    // cuMemAlloc documents the error for zero bytes. Whether cuMemAllocAsync has it, too, may depend on the driver.
    if (bytes == 0) {
        return INVALID_VALUE;
    }
    Allocation* made = allocate(bytes, current_card(), false);
    if (made == nullptr) {
        // As a card's pool does: memory whose free is queued counts only when there is no other.
        run_card(current_card());
        made = allocate(bytes, current_card(), false);
    }
    if (made == nullptr) {
        return OUT_OF_MEMORY;
    }
    *address = made->start;
    return SUCCESS;
}

/// The live allocation that starts here; a card leaves a wrong free undefined or says so long after.
static Allocation& require_start(uint64_t address, bool pinned, const char* call) {
    Allocation* a = find_allocation(address);
    if (a == nullptr || a->start != address || a->life != Life::live || a->pinned != pinned) {
        Line line;
        line << call << " of " << Hex{address} << ", which is no live allocation of its kind: ";
        describe_address(line, address);
        if (a != nullptr && a->start == address && a->life != Life::live) {
            line << "; it was freed before (double free)";
        }
        line.end_process();
    }
    return *a;
}

static void require_unused(const Allocation& a, const char* call) {
    if (a.queued_uses != 0) {
        (Line() << call << " of the allocation of " << a.bytes << " bytes at " << Hex{a.start}
                << ", which queued work still uses: " << queued_use(a))
            .end_process();
    }
}

extern "C" {

Result cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    return in_context([&] { return allocate_on_card(address, bytes); });
}

Result cuMemAllocAsync(uint64_t* address, size_t bytes, void* stream) {
    return in_context([&] { return find_stream(stream) == nullptr ? INVALID_HANDLE : allocate_on_card(address, bytes); });
}

Result cuMemFree_v2(uint64_t address) {
    return in_context([&] {
        if (address == 0) {
            return SUCCESS;
        }
        Allocation& a = require_start(address, false, "cuMemFree");
        require_unused(a, "cuMemFree");
        release(a);
        return SUCCESS;
    });
}

Result cuMemFreeAsync(uint64_t address, void* handle) {
    return in_context([&] {
        Stream* stream = find_stream(handle);
        if (stream == nullptr) {
            return INVALID_HANDLE;
        }
        if (address == 0) {
            return SUCCESS;
        }
        Allocation& a = require_start(address, false, "cuMemFreeAsync");
        a.life = Life::free_queued;
        enqueue(*stream, "free", {}, [&a] {
            // What is still queued belongs to another stream, and no event puts it before this free.
            require_unused(a, "cuMemFreeAsync");
            release(a);
        });
        return SUCCESS;
    });
}

Result cuMemHostAlloc(void** host, size_t bytes, unsigned) {
    return in_context([&] {
        if (bytes == 0) {
            return INVALID_VALUE;
        }
        *host = pointer(allocate(bytes, current_card(), true)->start);
        return SUCCESS;
    });
}

Result cuMemFreeHost(void* host) {
    return in_context([&] {
        Allocation& a = require_start(reinterpret_cast<uint64_t>(host), true, "cuMemFreeHost");
        require_unused(a, "cuMemFreeHost");
        release(a);
        return SUCCESS;
    });
}

Result cuMemGetInfo_v2(size_t* free, size_t* total) {
    return in_context([&] {
        *total = settings().memory_bytes;
        *free = *total - bytes_in_use(current_card());
        return SUCCESS;
    });
}

Result cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* handle) {
    return in_context([&] {
        Stream* stream = find_stream(handle);
        if (stream == nullptr) {
            return INVALID_HANDLE;
        }
        if (bytes == 0) {
            return SUCCESS;
        }
        auto uses = uses_of(require_range(to, bytes, "the target of a copy from the host", When::queued), from, bytes);
        std::shared_ptr<std::vector<char>> staged;
        if (settings().stage_pageable && !is_pinned(from)) {
            const char* first = static_cast<const char*>(from);
            staged = std::make_shared<std::vector<char>>(first, first + bytes);
        }
        enqueue(*stream, "copy from the host", uses, [=] {
            require_range(to, bytes, "the target of a copy from the host", When::runs);
            memcpy(pointer(to), staged != nullptr ? staged->data() : from, bytes);
        });
        return SUCCESS;
    });
}

Result cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* handle) {
    return in_context([&] {
        Stream* stream = find_stream(handle);
        if (stream == nullptr) {
            return INVALID_HANDLE;
        }
        if (bytes == 0) {
            return SUCCESS;
        }
        auto uses = uses_of(require_range(from, bytes, "the source of a copy to the host", When::queued), to, bytes);
        const uint64_t sequence = enqueue(*stream, "copy to the host", uses, [=] {
            require_range(from, bytes, "the source of a copy to the host", When::runs);
            memcpy(to, pointer(from), bytes);
        });
        if (settings().stage_pageable && !is_pinned(to)) {
            run_until(*stream, sequence);
        }
        return SUCCESS;
    });
}

Result cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* handle) {
    return in_context([&] {
        Stream* stream = find_stream(handle);
        if (stream == nullptr) {
            return INVALID_HANDLE;
        }
        if (bytes == 0) {
            return SUCCESS;
        }
        Allocation* source = &require_range(from, bytes, "the source of a copy on the card", When::queued);
        Allocation* target = &require_range(to, bytes, "the target of a copy on the card", When::queued);
        if (from < to + bytes && to < from + bytes) {
            (Line() << "a copy on the card of " << bytes << " bytes whose source and target overlap").end_process();
        }
        enqueue(*stream, "copy on the card", {source, target}, [=] {
            require_range(from, bytes, "the source of a copy on the card", When::runs);
            require_range(to, bytes, "the target of a copy on the card", When::runs);
            memcpy(pointer(to), pointer(from), bytes);
        });
        return SUCCESS;
    });
}

Result cuMemcpyPeerAsync(uint64_t to, void*, uint64_t from, void*, size_t bytes, void* stream) {
    return cuMemcpyDtoDAsync_v2(to, from, bytes, stream);
}

Result cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void* handle) {
    return in_context([&] {
        Stream* stream = find_stream(handle);
        if (stream == nullptr) {
            return INVALID_HANDLE;
        }
        if (bytes == 0) {
            return SUCCESS;
        }
        Allocation* target = &require_range(to, bytes, "the target of a fill", When::queued);
        enqueue(*stream, "fill", {target}, [=] {
            require_range(to, bytes, "the target of a fill", When::runs);
            memset(pointer(to), value, bytes);
        });
        return SUCCESS;
    });
}

// The calls without a stream work in the legacy default stream ("API synchronization behavior" of the driver's
// manual): they wait for the streams made without the non-blocking flag, and not for the others. A copy between host
// and card is done when the call returns; a copy on the card and a fill are not waited for.

Result cuMemcpyHtoD_v2(uint64_t to, const void* from, size_t bytes) {
    const Result queued = cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr);
    return queued != SUCCESS ? queued : in_context([] {
        run_all(*find_stream(nullptr));
        return SUCCESS;
    });
}

Result cuMemcpyDtoH_v2(void* to, uint64_t from, size_t bytes) {
    const Result queued = cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr);
    return queued != SUCCESS ? queued : in_context([] {
        run_all(*find_stream(nullptr));
        return SUCCESS;
    });
}

Result cuMemcpyDtoD_v2(uint64_t to, uint64_t from, size_t bytes) { return cuMemcpyDtoDAsync_v2(to, from, bytes, nullptr); }

Result cuMemsetD8_v2(uint64_t to, unsigned char value, size_t bytes) { return cuMemsetD8Async(to, value, bytes, nullptr); }

}  // extern "C"

}  // namespace stand_in
