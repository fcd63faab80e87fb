// Checks and work of the stand-in cuDNN. Every descriptor is checked against the memory behind its pointer, and the
// work is queued on the handle's stream like a launch.
#include <algorithm>
#include <string>

#include "cudnn.h"
#include "stand_in.h"

namespace stand_in {

Status refuse(const char* call, const char* reason, Status status) {
    (Line() << call << " refuses: " << reason).print();
    return status;
}

// Descriptors.

Status fill_shape(Tensor& t, int type, int rank, const int* dims, const int* strides) {
    if (type != FLOAT && type != BFLOAT16) {
        return refuse("a descriptor", "data types other than f32 and bf16 are not part of the stand-in", UNSUPPORTED);
    }
    if (rank < 4 || rank > RANK) {
        return refuse("a descriptor", "only 4 and 5 dimensions are part of the stand-in", UNSUPPORTED);
    }
    t.type = static_cast<DataType>(type);
    t.given_rank = rank;
    for (int i = 0; i < RANK; i++) {
        // Batch and channel come first; a missing depth is 1.
        const int from = i < 2 ? i : i - (RANK - rank);
        const bool missing = i >= 2 && from < 2;
        t.dims[i] = missing ? 1 : dims[from];
        t.strides[i] = missing ? 1 : strides[from];
        if (t.dims[i] < 1 || t.strides[i] < 1) {
            return refuse("a descriptor", "dimensions and strides have to be positive");
        }
    }
    if (t.elements() >= 1ull << 31) {
        return refuse("a descriptor", "2^31 elements or more", UNSUPPORTED);
    }
    t.set = true;
    return OK;
}

/// Strides without gaps: the last length, or the channel, lies closest together.
static void packed_strides(int rank, const int* dims, Format format, int* strides) {
    int step = format == NHWC ? dims[1] : 1;
    for (int i = rank - 1; i >= 2; i--) {
        strides[i] = step;
        step *= dims[i];
    }
    strides[1] = format == NHWC ? 1 : step;
    strides[0] = format == NHWC ? step : step * dims[1];
}

Status fill_packed(Tensor& t, int type, int format, int rank, const int* dims) {
    if (rank < 4 || rank > RANK || (format != NCHW && format != NHWC)) {
        return refuse("a descriptor", "rank or format", UNSUPPORTED);
    }
    int strides[RANK];
    packed_strides(rank, dims, static_cast<Format>(format), strides);
    return fill_shape(t, type, rank, dims, strides);
}

// What a call is given.

struct Operand {
    const char* name;
    const Tensor* tensor;
    const void* data;
    bool written;
};

static uint64_t address_of(const void* data) { return reinterpret_cast<uint64_t>(data); }

static std::string describe(const char* call, const Operand& o) {
    std::string text = std::string(call) + ": the descriptor of " + o.name + " (";
    for (int i = 0; i < RANK; i++) {
        text += (i == 0 ? "" : " x ") + std::to_string(o.tensor->dims[i]);
    }
    text += ", strides";
    for (int stride : o.tensor->strides) {
        text += " " + std::to_string(stride);
    }
    return text + ")";
}

/// Whether two elements share an address: sorted by stride, each stride has to step over all that is inside.
static bool overlaps_itself(const Tensor& t) {
    int order[RANK] = {0, 1, 2, 3, 4};
    std::sort(order, order + RANK, [&](int a, int b) { return t.strides[a] < t.strides[b]; });
    int64_t inner = 0;
    for (int d : order) {
        if (t.dims[d] > 1 && t.strides[d] <= inner) {
            return true;
        }
        inner += static_cast<int64_t>(t.dims[d] - 1) * t.strides[d];
    }
    return false;
}

static void require_held(const char* call, const std::vector<Operand>& operands, When when) {
    for (const Operand& o : operands) {
        const std::string text = describe(call, o);
        require_range(address_of(o.data), o.tensor->span_bytes(), text.c_str(), when);
        if (address_of(o.data) % o.tensor->element_bytes() != 0) {
            (Line() << text.c_str() << ": misaligned pointer").end_process();
        }
        if (o.written && overlaps_itself(*o.tensor)) {
            (Line() << text.c_str() << ": elements that are written share memory").end_process();
        }
        for (const Operand& other : operands) {
            const uint64_t start = address_of(other.data), end = start + other.tensor->span_bytes();
            const bool overlap = address_of(o.data) < end && start < address_of(o.data) + o.tensor->span_bytes();
            if (o.written && &o != &other && overlap) {
                (Line() << text.c_str() << ": its memory overlaps that of " << other.name).end_process();
            }
        }
    }
}

/// Checks the memory, and queues `compute`, which is given the operands by value.
static Status queue(Handle* handle, const char* call, std::vector<Operand> operands, Workspace workspace, std::function<void()> compute) {
    const Result result = in_context([&] {
        Stream* stream = find_stream(handle->stream);
        if (stream == nullptr) {
            return INVALID_HANDLE;
        }
        require_held(call, operands, When::queued);
        std::vector<Allocation*> uses;
        for (const Operand& o : operands) {
            uses.push_back(find_allocation(address_of(o.data)));
        }
        if (workspace.bytes > 0) {
            uses.push_back(&require_range(address_of(workspace.data), workspace.bytes, "the workspace of a convolution", When::queued));
        }
        // Descriptors may be destroyed before the work runs.
        std::vector<Tensor> tensors;
        for (const Operand& o : operands) {
            tensors.push_back(*o.tensor);
        }
        enqueue(*stream, call, uses, [=]() mutable {
            for (size_t i = 0; i < operands.size(); i++) {
                operands[i].tensor = &tensors[i];
            }
            require_held(call, operands, When::runs);
            if (workspace.bytes > 0) {
                // Scratch memory holds no value that anyone may count on afterwards.
                require_range(address_of(workspace.data), workspace.bytes, "the workspace of a convolution", When::runs);
                fill_with_poison(workspace.data, workspace.bytes);
            }
            compute();
        });
        return SUCCESS;
    });
    return result == SUCCESS ? OK : result == INVALID_CONTEXT ? NOT_READY_TO_USE : BAD_PARAM;
}

// Convolutions.

static int out_length(const Convolution& c, int d, int in, int kernel) {
    return (in + 2 * c.pads[d] - c.dilations[d] * (kernel - 1) - 1) / c.strides[d] + 1;
}

static Status match(const char* call, const Tensor* x, const Filter* w, const Convolution* c, const Tensor* y, Shape& s) {
    if (x == nullptr || w == nullptr || c == nullptr || y == nullptr || !x->set || !w->set || !c->set || !y->set) {
        return refuse(call, "a descriptor is missing or was never set");
    }
    if (x->given_rank != w->given_rank || x->given_rank != y->given_rank || c->given_rank != x->given_rank - 2) {
        return refuse(call, "the descriptors differ in the number of dimensions");
    }
    if (x->type != w->type || x->type != y->type) {
        return refuse(call, "the descriptors differ in their data type");
    }
    if (c->compute != FLOAT) {
        return refuse(call, "sums in anything but f32", UNSUPPORTED);
    }
    if (w->dims[1] * c->groups != x->dims[1] || w->dims[0] % c->groups != 0) {
        return refuse(call, "the channels of x, those of the filter and the groups do not fit");
    }
    if (y->dims[0] != x->dims[0] || y->dims[1] != w->dims[0]) {
        return refuse(call, "batch or channels of y are not those that x and the filter give");
    }
    s = {x->dims[0], x->dims[1], y->dims[1], c->groups, {}, {}, {}, *c};
    for (int d = 0; d < 3; d++) {
        s.in[d] = x->dims[d + 2];
        s.out[d] = y->dims[d + 2];
        s.kernel[d] = w->dims[d + 2];
        if (s.out[d] != out_length(*c, d, s.in[d], s.kernel[d])) {
            return refuse(call, "a length of y is not the one that x, filter, padding and stride give");
        }
    }
    for (const Tensor* t : {x, y}) {
        if (w->format == NHWC && t->dims[1] > 1 && t->strides[1] != 1) {
            return refuse(call, "an NHWC filter needs tensors whose channels lie side by side", UNSUPPORTED);
        }
    }
    return OK;
}

/// Differs by direction and algorithm, so that a size asked for one and used for another is seen.
static size_t workspace_bytes(const Filter& w, Direction direction, int algorithm) {
    return (w.elements() * 4 + 1023) / 1024 * 1024 + 1024 * (1 + static_cast<size_t>(direction)) + 4096 * static_cast<size_t>(algorithm);
}

static bool is_offered(int algorithm) { return algorithm == 0 || algorithm == 1; }

Status list_algorithms(const char* call, const Tensor* x, const Filter* w, const Convolution* c, const Tensor* y, Direction direction,
                              int wanted, int* returned, Performance* results) {
    Shape shape;
    const Status status = match(call, x, w, c, y, shape);
    if (status != OK) {
        return status;
    }
    *returned = std::min(wanted, 2);
    for (int i = 0; i < *returned; i++) {
        // Algorithm 1 first, as a card's heuristics do for most shapes.
        results[i] = {1 - i, OK, -1.0f, workspace_bytes(*w, direction, 1 - i), 1, 0, {}};
    }
    return OK;
}

Status tell_workspace(const char* call, const Tensor* x, const Filter* w, const Convolution* c, const Tensor* y, Direction direction,
                             int algorithm, size_t* bytes) {
    Shape shape;
    const Status status = match(call, x, w, c, y, shape);
    if (status != OK) {
        return status;
    }
    if (!is_offered(algorithm)) {
        return refuse(call, "the stand-in offers algorithms 0 and 1", UNSUPPORTED);
    }
    *bytes = workspace_bytes(*w, direction, algorithm);
    return OK;
}

Status convolve(const Call& call, const Tensor* x, const void* x_data, const Filter* w, const void* w_data, const Convolution* c,
                       const Tensor* y, const void* y_data) {
    Shape s;
    const Status status = match(call.name, x, w, c, y, s);
    if (status != OK) {
        return status;
    }
    if (call.handle == nullptr || x_data == nullptr || w_data == nullptr || y_data == nullptr) {
        return refuse(call.name, "a null pointer");
    }
    if (!is_offered(call.algorithm)) {
        return refuse(call.name, "the stand-in offers algorithms 0 and 1", UNSUPPORTED);
    }
    const size_t needed = workspace_bytes(*w, call.direction, call.algorithm);
    if (call.workspace.bytes < needed || call.workspace.data == nullptr) {
        const std::string reason = "workspace too small: " + std::to_string(call.workspace.bytes) + " bytes, needed " + std::to_string(needed);
        return refuse(call.name, reason.c_str());
    }
    const bool data = call.direction == DATA, filter = call.direction == FILTER;
    const std::vector<Operand> operands = {
        {data ? "dx" : "x", x, x_data, data}, {filter ? "dw" : "w", w, w_data, filter}, {call.direction == FORWARD ? "y" : "dy", y, y_data, call.direction == FORWARD}};
    const Tensor x_tensor = *x, w_tensor = *w, y_tensor = *y;
    return queue(call.handle, call.name, operands, call.workspace, [=] {
        const Tensor& target = data ? x_tensor : filter ? w_tensor : y_tensor;
        const void* target_data = data ? x_data : filter ? w_data : y_data;
        std::vector<float> result(target.elements(), 0.0f);
        if (data) {
            backward_data(s, result, gather(w_tensor, w_data), gather(y_tensor, y_data));
        } else if (filter) {
            backward_filter(s, gather(x_tensor, x_data), result, gather(y_tensor, y_data));
        } else {
            forward(s, gather(x_tensor, x_data), gather(w_tensor, w_data), result);
        }
        scatter(target, const_cast<void*>(target_data), result, call.alpha, call.beta);
    });
}

/// `part` at the place of every element of `whole`: its lengths are one or those of the whole.
static std::vector<size_t> places_in(const Tensor& part, const Tensor& whole) {
    std::vector<size_t> places(whole.elements());
    for (size_t i = 0; i < places.size(); i++) {
        size_t rest = i, step = 1;
        for (int d = RANK - 1; d >= 0; d--) {
            const auto length = static_cast<size_t>(whole.dims[d]);
            places[i] += part.dims[d] == 1 ? 0 : rest % length * step;
            rest /= length;
            step *= static_cast<size_t>(part.dims[d]);
        }
    }
    return places;
}

static bool fits(const Tensor& part, const Tensor& whole) {
    bool good = part.set && whole.set && part.type == whole.type && part.given_rank == whole.given_rank;
    for (int d = 0; d < RANK; d++) {
        good = good && (part.dims[d] == 1 || part.dims[d] == whole.dims[d]);
    }
    return good;
}

Status add_tensor(Handle* handle, float alpha, const Tensor& a, const void* a_data, float beta, const Tensor& c, void* c_data) {
    if (!fits(a, c)) {
        return refuse("cudnnAddTensor", "the lengths or types of the two tensors do not fit");
    }
    return queue(handle, "cudnnAddTensor", {{"A", &a, a_data, false}, {"C", &c, c_data, true}}, {nullptr, 0}, [=] {
        const std::vector<float> part = gather(a, a_data);
        std::vector<float> result;
        for (size_t place : places_in(a, c)) {
            result.push_back(part[place]);
        }
        scatter(c, c_data, result, alpha, beta);
    });
}

Status sum_bias(Handle* handle, float alpha, const Tensor& dy, const void* dy_data, float beta, const Tensor& db, void* db_data) {
    if (!fits(db, dy) || db.elements() != static_cast<size_t>(dy.dims[1]) || db.dims[1] != dy.dims[1]) {
        return refuse("cudnnConvolutionBackwardBias", "db is not one number per channel of dy");
    }
    return queue(handle, "cudnnConvolutionBackwardBias", {{"dy", &dy, dy_data, false}, {"db", &db, db_data, true}}, {nullptr, 0}, [=] {
        const std::vector<float> whole = gather(dy, dy_data);
        const std::vector<size_t> places = places_in(db, dy);
        std::vector<float> result(db.elements(), 0.0f);
        for (size_t i = 0; i < whole.size(); i++) {
            result[places[i]] += whole[i];
        }
        scatter(db, db_data, result, alpha, beta);
    });
}

}  // namespace stand_in
