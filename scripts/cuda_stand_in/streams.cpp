// Streams and events. Work is queued and runs as late as the program allows: only when somebody waits for it,
// and then only as far as the wait demands. What a program forgot to wait for is therefore never there by luck.
#include <algorithm>
#include <chrono>
#include <set>

#include "stand_in.h"

namespace stand_in {

struct Event {
    int card;
    bool timed;
    std::shared_ptr<Mark> last;
};

struct Streams {
    /// A destroyed stream stays while it has queued work, which still has to run when somebody waits for it.
    std::vector<Stream*> all;
    std::set<void*> handles;
    std::set<void*> events;
    uint64_t sequence = 0;
};

static Streams& streams() {
    static Streams& one = *new Streams;
    return one;
}

static Stream* make_stream(int card, bool legacy, bool blocking) {
    auto* stream = new Stream{card, legacy, blocking, false, {}};
    streams().all.push_back(stream);
    return stream;
}

static Stream* legacy_stream(int card) {
    for (Stream* stream : streams().all) {
        if (stream->legacy && stream->card == card) {
            return stream;
        }
    }
    return make_stream(card, true, true);
}

Stream* find_stream(void* handle) {
    constexpr uintptr_t LEGACY = 1, PER_THREAD = 2;
    const auto value = reinterpret_cast<uintptr_t>(handle);
    if (value == 0 || value == LEGACY) {
        return legacy_stream(current_card());
    }
    if (value == PER_THREAD) {
        static thread_local std::vector<Stream*> own(static_cast<size_t>(settings().cards));
        Stream*& stream = own[static_cast<size_t>(current_card())];
        if (stream == nullptr) {
            stream = make_stream(current_card(), false, true);
        }
        return stream;
    }
    return streams().handles.count(handle) != 0 ? static_cast<Stream*>(handle) : nullptr;
}

uint64_t enqueue(Stream& stream, const char* what, std::vector<Allocation*> uses, std::function<void()> run) {
    for (Allocation* a : uses) {
        a->queued_uses++;
    }
    stream.queue.push_back({++streams().sequence, what, std::move(uses), std::move(run), nullptr});
    return streams().sequence;
}

/// The stream that has to run work before `operation` may: null if it may run now.
static Stream* implicit_dependency(const Stream& stream, const Operation& operation) {
    if (!stream.blocking) {
        return nullptr;
    }
    for (Stream* other : streams().all) {
        const bool ordered = other != &stream && other->card == stream.card && other->blocking && (other->legacy || stream.legacy);
        if (ordered && !other->queue.empty() && other->queue.front().sequence < operation.sequence) {
            return other;
        }
    }
    return nullptr;
}

void run_until(Stream& stream, uint64_t sequence) {
    FaultStack fault_stack;
    struct Goal {
        Stream* stream;
        uint64_t sequence;
    };
    // A list instead of recursion: two streams that wait for each other in turns would need a deep stack.
    std::vector<Goal> goals = {{&stream, sequence}};
    while (!goals.empty()) {
        const Goal goal = goals.back();
        if (goal.stream->queue.empty() || goal.stream->queue.front().sequence > goal.sequence) {
            goals.pop_back();
            continue;
        }
        const Operation& front = goal.stream->queue.front();
        if (front.wait_for != nullptr && !front.wait_for->reached) {
            goals.push_back({front.wait_for->stream, front.wait_for->sequence});
            continue;
        }
        if (Stream* first = implicit_dependency(*goal.stream, front)) {
            goals.push_back({first, front.sequence - 1});
            continue;
        }
        const Operation operation = std::move(goal.stream->queue.front());
        goal.stream->queue.pop_front();
        position.operation = operation.what;
        operation.run();
        position.operation = nullptr;
        for (Allocation* a : operation.uses) {
            a->queued_uses--;
        }
    }
}

void run_all(Stream& stream) { run_until(stream, UINT64_MAX); }

/// Takes idle destroyed streams off the list. Their memory stays: an event may still name them.
static void drop_destroyed() {
    auto& all = streams().all;
    const auto idle = [](const Stream* stream) { return stream->destroyed && stream->queue.empty(); };
    all.erase(std::remove_if(all.begin(), all.end(), idle), all.end());
}

void run_card(int card) {
    std::vector<Stream*> order = streams().all;
    for (size_t i = order.size(); i > 1; i--) {
        std::swap(order[i - 1], order[random_below(i)]);
    }
    for (Stream* stream : order) {
        if (stream->card == card) {
            run_all(*stream);
        }
    }
    drop_destroyed();
}

const char* queued_use(const Allocation& allocation) {
    for (const Stream* stream : streams().all) {
        for (const Operation& operation : stream->queue) {
            if (std::count(operation.uses.begin(), operation.uses.end(), &allocation) != 0) {
                return operation.what;
            }
        }
    }
    return "nothing";
}

static double now_milliseconds() {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::milli>(since).count();
}

static Event* find_event(void* handle) {
    return streams().events.count(handle) != 0 ? static_cast<Event*>(handle) : nullptr;
}

extern "C" {

Result cuStreamCreate(void** handle, unsigned flags) {
    constexpr unsigned NON_BLOCKING = 1;
    return in_context([&] {
        if (flags > NON_BLOCKING) {
            return INVALID_VALUE;
        }
        *handle = make_stream(current_card(), false, flags != NON_BLOCKING);
        streams().handles.insert(*handle);
        return SUCCESS;
    });
}

Result cuStreamCreateWithPriority(void** handle, unsigned flags, int) { return cuStreamCreate(handle, flags); }

Result cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    return in_context([&] {
        *least = 0;
        *greatest = -5;
        return SUCCESS;
    });
}

Result cuStreamDestroy_v2(void* handle) {
    return in_context([&] {
        if (streams().handles.erase(handle) == 0) {
            return INVALID_HANDLE;
        }
        static_cast<Stream*>(handle)->destroyed = true;
        drop_destroyed();
        return SUCCESS;
    });
}

Result cuStreamSynchronize(void* handle) {
    return in_context([&] {
        Stream* stream = find_stream(handle);
        if (stream == nullptr) {
            return INVALID_HANDLE;
        }
        run_all(*stream);
        return SUCCESS;
    });
}

/// Says once that the work is not done, and does it then, so that a loop that asks comes to an end.
Result cuStreamQuery(void* handle) {
    return in_context([&] {
        Stream* stream = find_stream(handle);
        if (stream == nullptr) {
            return INVALID_HANDLE;
        }
        const bool done = stream->queue.empty();
        run_all(*stream);
        return done ? SUCCESS : NOT_READY;
    });
}

Result cuStreamWaitEvent(void* handle, void* event_handle, unsigned) {
    return in_context([&] {
        Stream* stream = find_stream(handle);
        Event* event = find_event(event_handle);
        if (stream == nullptr || event == nullptr) {
            return INVALID_HANDLE;
        }
        // The work recorded by now counts; a later record of the same event does not. Never recorded: no wait.
        if (event->last != nullptr) {
            enqueue(*stream, "wait for an event", {}, [] {});
            stream->queue.back().wait_for = event->last;
        }
        return SUCCESS;
    });
}

Result cuStreamIsCapturing(void*, int* status) {
    *status = 0;
    return SUCCESS;
}

Result cuStreamBeginCapture_v2(void*, int) { return NOT_SUPPORTED; }

Result cuLaunchHostFunc(void* handle, void (*function)(void*), void* data) {
    return in_context([&] {
        Stream* stream = find_stream(handle);
        if (stream == nullptr) {
            return INVALID_HANDLE;
        }
        enqueue(*stream, "host function", {}, [=] { function(data); });
        return SUCCESS;
    });
}

Result cuCtxSynchronize() {
    return in_context([] {
        run_card(current_card());
        return SUCCESS;
    });
}

Result cuEventCreate(void** handle, unsigned flags) {
    constexpr unsigned DISABLE_TIMING = 2;
    return in_context([&] {
        *handle = new Event{current_card(), (flags & DISABLE_TIMING) == 0, nullptr};
        streams().events.insert(*handle);
        return SUCCESS;
    });
}

Result cuEventDestroy_v2(void* handle) {
    return in_context([&] {
        if (streams().events.erase(handle) == 0) {
            return INVALID_HANDLE;
        }
        delete static_cast<Event*>(handle);
        return SUCCESS;
    });
}

Result cuEventRecord(void* handle, void* stream_handle) {
    return in_context([&] {
        Stream* stream = find_stream(stream_handle);
        Event* event = find_event(handle);
        if (stream == nullptr || event == nullptr || event->card != stream->card) {
            return INVALID_HANDLE;
        }
        auto mark = std::make_shared<Mark>();
        mark->stream = stream;
        mark->sequence = enqueue(*stream, "record of an event", {}, [mark] {
            mark->reached = true;
            mark->milliseconds = now_milliseconds();
        });
        event->last = mark;
        return SUCCESS;
    });
}

/// Says once that the work is not done, as cuStreamQuery does.
Result cuEventQuery(void* handle) {
    return in_context([&] {
        Event* event = find_event(handle);
        if (event == nullptr) {
            return INVALID_HANDLE;
        }
        if (event->last == nullptr || event->last->reached) {
            return SUCCESS;
        }
        run_until(*event->last->stream, event->last->sequence);
        return NOT_READY;
    });
}

Result cuEventSynchronize(void* handle) {
    return in_context([&] {
        Event* event = find_event(handle);
        if (event == nullptr) {
            return INVALID_HANDLE;
        }
        if (event->last != nullptr && !event->last->reached) {
            run_until(*event->last->stream, event->last->sequence);
        }
        return SUCCESS;
    });
}

Result cuEventElapsedTime_v2(float* milliseconds, void* start_handle, void* end_handle) {
    return in_context([&] {
        Event* start = find_event(start_handle);
        Event* end = find_event(end_handle);
        if (start == nullptr || end == nullptr || !start->timed || !end->timed || start->last == nullptr || end->last == nullptr) {
            return INVALID_HANDLE;
        }
        if (!start->last->reached || !end->last->reached) {
            return NOT_READY;
        }
        *milliseconds = static_cast<float>(end->last->milliseconds - start->last->milliseconds);
        return SUCCESS;
    });
}

}  // extern "C"

}  // namespace stand_in
