// A tensor as torch 2.13 lays it out in memory: its fields are read in place, where a call of an
// exported function takes longer than the rest of a small tensor's step. `is_as_known` compares
// them with what the functions say; where they differ nothing counts as ordinary, and all that
// isn't ordinary is read through the functions.
typedef long long Index;
typedef unsigned long long Word;

static const Index INLINE = 5;  // dimensions that a tensor keeps in itself
static const Index LINE = 64;   // bytes of a cache line

struct Storage {
    Word table, references;
    char *data;
    Word context, release, device, bytes;
    bool is_symbolic, is_resizable, is_received, is_guarded;  // guarded: copied before a write
};

struct Tensor {
    Word table, references;
    const Storage *storage;
    Word autograd, extra, version, python;
    Index dims, sizes[INLINE], strides[INLINE], offset, elements;
    unsigned short dtype;
    unsigned char device[3];
    Word keys;
};

// Whatever sets a tensor apart from one that fills its own memory on the CPU.
struct Ordinary {
    Word table, keys;
    unsigned char device[3];

    bool includes(const Tensor &tensor) const {
        return tensor.table == table && tensor.keys == keys && tensor.dims <= INLINE &&
               !__builtin_memcmp(tensor.device, device, sizeof device) && tensor.storage &&
               !tensor.storage->is_guarded;
    }
};

static bool has_shape(Index dims, const Index *sizes, const Index *strides, const Index *shape) {
    for (Index d = 0; d < dims; d++) {
        if (sizes[d] != shape[d]) return false;
        if (sizes[d] > 1 && strides[d] != shape[dims + d]) return false;
    }
    return true;
}

// GCC takes a function that only prefetches for one without effect, and drops its calls.
#define PREFETCHING __attribute__((always_inline)) static inline void

PREFETCHING fetch(const void *place, Index bytes) {
    const char *line = (const char *)((Word)place & -LINE), *end = (const char *)place + bytes;
    for (; line < end; line += LINE) __builtin_prefetch(line);
}
