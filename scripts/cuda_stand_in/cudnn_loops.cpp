// Convolutions as plain loops over packed f32 numbers, and the way between those and a tensor in memory.
#include <algorithm>
#include <cstring>

#include "cudnn.h"

namespace stand_in {

size_t Tensor::elements() const {
    size_t product = 1;
    for (int length : dims) {
        product *= static_cast<size_t>(length);
    }
    return product;
}

size_t Tensor::span_bytes() const {
    size_t last = 0;
    for (int i = 0; i < RANK; i++) {
        last += static_cast<size_t>(dims[i] - 1) * static_cast<size_t>(strides[i]);
    }
    return (last + 1) * element_bytes();
}

/// Calls with the offset of every element, in the order of the dimensions.
template <class Visit>
static void for_each_element(const Tensor& t, Visit visit) {
    int at[RANK] = {};
    const size_t count = t.elements();
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        visit(i, offset);
        for (int d = RANK - 1; d >= 0; d--) {
            offset += static_cast<size_t>(t.strides[d]);
            if (++at[d] < t.dims[d]) {
                break;
            }
            offset -= static_cast<size_t>(t.strides[d]) * static_cast<size_t>(t.dims[d]);
            at[d] = 0;
        }
    }
}

static float from_bf16(uint16_t half) {
    const uint32_t word = static_cast<uint32_t>(half) << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

/// Rounds to the nearest, ties to even; a NaN stays one.
static uint16_t to_bf16(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    if (value != value) {
        return static_cast<uint16_t>(word >> 16 | 0x40);
    }
    return static_cast<uint16_t>((word + 0x7FFF + (word >> 16 & 1)) >> 16);
}

std::vector<float> gather(const Tensor& t, const void* data) {
    std::vector<float> values(t.elements());
    for_each_element(t, [&](size_t i, size_t offset) {
        values[i] = t.type == FLOAT ? static_cast<const float*>(data)[offset] : from_bf16(static_cast<const uint16_t*>(data)[offset]);
    });
    return values;
}

void scatter(const Tensor& t, void* data, const std::vector<float>& values, float alpha, float beta) {
    for_each_element(t, [&](size_t i, size_t offset) {
        float value = alpha * values[i];
        if (t.type == FLOAT) {
            float& target = static_cast<float*>(data)[offset];
            target = beta == 0 ? value : value + beta * target;
        } else {
            uint16_t& target = static_cast<uint16_t*>(data)[offset];
            target = to_bf16(beta == 0 ? value : value + beta * from_bf16(target));
        }
    });
}

/// The outputs [first, end) whose input, `output * stride + shift`, lies in [0, length).
struct Range {
    int first, end;
};

static Range inside(int shift, int stride, int length, int outputs) {
    const int first = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    const int end = shift >= length ? 0 : std::min(outputs, (length - 1 - shift) / stride + 1);
    return {first, std::max(first, end)};
}

/// Calls with the offsets of x, w and y and a length for every run of outputs that one filter element connects to inputs;
/// along the run, y moves by one and x by the last stride.
template <class Visit>
static void for_each_run(const Shape& s, Visit visit) {
    const Convolution& c = s.convolution;
    const int in_per_group = s.in_channels / s.groups, out_per_group = s.out_channels / s.groups;
    const int taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
    const int in_cells = s.in[0] * s.in[1] * s.in[2], out_cells = s.out[0] * s.out[1] * s.out[2];
    for (int n = 0; n < s.batch; n++) {
        for (int k = 0; k < s.out_channels; k++) {
            for (int i = 0; i < in_per_group; i++) {
                const size_t x_plane = static_cast<size_t>(n * s.in_channels + k / out_per_group * in_per_group + i) * static_cast<size_t>(in_cells);
                const size_t y_plane = static_cast<size_t>(n * s.out_channels + k) * static_cast<size_t>(out_cells);
                for (int tap = 0; tap < taps; tap++) {
                    const int at[3] = {tap / s.kernel[2] / s.kernel[1], tap / s.kernel[2] % s.kernel[1], tap % s.kernel[2]};
                    // A true convolution turns the filter around.
                    const int element = c.cross_correlation ? tap : taps - 1 - tap;
                    int shift[3];
                    Range range[3];
                    for (int d = 0; d < 3; d++) {
                        shift[d] = at[d] * c.dilations[d] - c.pads[d];
                        range[d] = inside(shift[d], c.strides[d], s.in[d], s.out[d]);
                    }
                    const size_t w = static_cast<size_t>((k * in_per_group + i) * taps + element);
                    for (int a = range[0].first; a < range[0].end; a++) {
                        for (int b = range[1].first; b < range[1].end; b++) {
                            const int x_row = ((a * c.strides[0] + shift[0]) * s.in[1] + b * c.strides[1] + shift[1]) * s.in[2];
                            const int x = x_row + range[2].first * c.strides[2] + shift[2];
                            const int y = (a * s.out[1] + b) * s.out[2] + range[2].first;
                            visit(x_plane + static_cast<size_t>(x), w, y_plane + static_cast<size_t>(y), range[2].end - range[2].first);
                        }
                    }
                }
            }
        }
    }
}

void forward(const Shape& s, const std::vector<float>& x, const std::vector<float>& w, std::vector<float>& y) {
    const int stride = s.convolution.strides[2];
    for_each_run(s, [&](size_t x_at, size_t w_at, size_t y_at, int length) {
        const float weight = w[w_at];
        const float* in = x.data() + x_at;
        float* out = y.data() + y_at;
        for (int i = 0; i < length; i++) {
            out[i] += weight * in[i * stride];
        }
    });
}

void backward_data(const Shape& s, std::vector<float>& dx, const std::vector<float>& w, const std::vector<float>& dy) {
    const int stride = s.convolution.strides[2];
    for_each_run(s, [&](size_t x_at, size_t w_at, size_t y_at, int length) {
        const float weight = w[w_at];
        float* in = dx.data() + x_at;
        const float* out = dy.data() + y_at;
        for (int i = 0; i < length; i++) {
            in[i * stride] += weight * out[i];
        }
    });
}

void backward_filter(const Shape& s, const std::vector<float>& x, std::vector<float>& dw, const std::vector<float>& dy) {
    const int stride = s.convolution.strides[2];
    for_each_run(s, [&](size_t x_at, size_t w_at, size_t y_at, int length) {
        const float* in = x.data() + x_at;
        const float* out = dy.data() + y_at;
        float sum = 0;
        for (int i = 0; i < length; i++) {
            sum += in[i * stride] * out[i];
        }
        dw[w_at] += sum;
    });
}

}  // namespace stand_in
