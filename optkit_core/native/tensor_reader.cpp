// Reads where the tensors of a bucket lie, and notices whatever has changed since its plan was
// made, by functions of Python's C API, of DLPack and, for state, of torch that are exported for
// C. Nothing here knows how torch or Python lay out an object.
typedef long long Index;
typedef void *Handle;
typedef void *Object;

// DLPack's view of a tensor, https://dmlc.github.io/dlpack, version 1: the layout is a standard.
struct View {
    void *data;
    int device, device_index, dims;
    unsigned char code, bits;
    unsigned short lanes;
    Index *sizes, *strides;
    Index offset;
};

struct Api {
    Object (*attribute)(Object, Object);                   // a new reference
    Object (*type)(Object);                                // likewise
    int (*next_item)(Object, Index *, Object *, Object *);  // of a dict, borrowed
    Index (*length)(Object);
    Object (*element)(Object, Index);  // of a list, borrowed
    Object (*call_method)(Object, const Object *, Index, Object);  // a new reference
    void *(*pointer)(Object, const char *);  // in a capsule
    void (*release)(Object);
    void (*forget_error)(void);
    int (*view)(Object, View *);
    // What torch exports for handles of tensors; all null where handles can't be had.
    int (*get_data_ptr)(Handle, void **);
    int (*get_dim)(Handle, Index *);
    int (*get_sizes)(Handle, Index **);
    int (*get_strides)(Handle, Index **);
    int (*get_dtype)(Handle, int *);
    int (*get_device_type)(Handle, int *);
    int (*get_layout)(Handle, int *);
    int (*is_defined)(Handle, bool *);
    const Handle &(*gradient)(const void *);  // of a tensor; null where torch has no such function
    Object none, no;                        // Python's None and False
    Object grad, is_neg, local_part, spec;  // names
    Object tensor, parameter;               // the classes
};

// What all tensors of a column have in common: the parameters, for example.
struct Operand {
    int code, bits, device, device_index;
    int dtype, device_type;  // as handles have them
};

struct Plan {
    Index rows, buffers;
    Index numbers;           // how many of the buffers, the last ones, are numbers of any shape
    const Object *params;    // of each row
    const void *const *impls;  // what torch keeps behind each of them
    const void **tokens;     // where each one's sizes were, which tells that it is the same still
    const Object *states;    // the buffers, row by row
    const Handle *handles;   // of the buffers; null where handles can't be had
    const Object *dicts;     // the state of each row
    const Object *entries;   // the objects in them, in their order
    const Index *counts;     // how many each of them holds
    const Index *dims;       // of each row
    const Index *shapes;     // sizes, then strides, of one row after another
    const int *shaped;       // of each buffer: whether it has a shape of its own
    const Index *forms;      // of each of those, row by row: how many dims, sizes, strides
    // Null where no row is a part of a DTensor, as the next two are.
    const Object *wholes;    // the DTensor that a row is a part of; null for a tensor of its own
    const Object *noted;     // what each of these DTensors had as its part
    const Object *specs;     // where their gradients have to be placed, to be read as they are
    Operand *operands;       // parameter, gradient and buffers
    const void **hints;       // row by row: addresses that its reading will need, to be prefetched
    void **memory;           // result: parameters, gradients, then each buffer, row by row

    Index columns() const { return 2 + buffers; }
    // Of each tensor, of what holds the gradient and, where there are parts, of the DTensor, its
    // gradient and the share.
    Index hints_each() const { return columns() + (wholes ? 4 : 1); }
    const void **hints_of_row(Index r) const { return hints + r * hints_each(); }
};
LAYOUT(Plan, AT(Plan, rows), AT(Plan, buffers), AT(Plan, numbers), AT(Plan, params),
       AT(Plan, impls), AT(Plan, tokens), AT(Plan, states), AT(Plan, handles), AT(Plan, dicts),
       AT(Plan, entries), AT(Plan, counts), AT(Plan, dims), AT(Plan, shapes), AT(Plan, shaped),
       AT(Plan, forms), AT(Plan, wholes), AT(Plan, noted), AT(Plan, specs), AT(Plan, operands),
       AT(Plan, hints), AT(Plan, memory))

LAYOUT(Api, AT(Api, attribute), AT(Api, type), AT(Api, next_item), AT(Api, length),
       AT(Api, element), AT(Api, call_method), AT(Api, pointer), AT(Api, release),
       AT(Api, forget_error), AT(Api, view),
       AT(Api, get_data_ptr), AT(Api, get_dim), AT(Api, get_sizes), AT(Api, get_strides),
       AT(Api, get_dtype), AT(Api, get_device_type), AT(Api, get_layout),
       AT(Api, is_defined), AT(Api, gradient), AT(Api, none),
       AT(Api, no), AT(Api, grad), AT(Api, is_neg), AT(Api, local_part), AT(Api, spec),
       AT(Api, tensor), AT(Api, parameter))

LAYOUT(Operand, AT(Operand, code), AT(Operand, bits), AT(Operand, device),
       AT(Operand, device_index), AT(Operand, dtype), AT(Operand, device_type))

static const Index ANY = -1;   // number of dimensions, where the shape doesn't matter
static const Index AHEAD = 8;  // rows

// Returns whether a dict's values are exactly these objects, in this order.
static bool has_values(const Api &api, Object dict, const Object *wanted, Index count) {
    Index position = 0, found = 0;
    Object key, value;
    while (api.next_item(dict, &position, &key, &value))
        if (found == count || value != wanted[found++]) return false;
    return found == count;
}

static bool has_shape(Index dims, const Index *sizes, const Index *strides, const Index *shape) {
    for (Index d = 0; d < dims; d++) {
        if (sizes[d] != shape[d]) return false;
        if (sizes[d] > 1 && strides[d] != shape[dims + d]) return false;
    }
    return true;
}

static bool take_view(const Api &api, Object tensor, View *view) {
    if (!api.view(tensor, view)) return true;
    api.forget_error();  // a tensor that has no memory of its own, a sparse one for example
    return false;
}

static void *address(const View &view) { return (char *)view.data + view.offset; }

// Returns whether a tensor is like its column's and of a shape, and where its elements are.
static bool matches_by_view(const Api &api, Object tensor, const Operand &operand, Index dims,
                            const Index *shape, const void **hints, void **memory) {
    View view;
    if (!take_view(api, tensor, &view)) return false;
    *hints = view.sizes;
    *memory = address(view);
    return view.code == operand.code && view.bits == operand.bits &&
           view.device == operand.device && view.device_index == operand.device_index &&
           (dims == ANY ||
            (view.dims == dims && has_shape(dims, view.sizes, view.strides, shape)));
}

// The same for a tensor of which there is a handle, in two thirds of the time.
static bool matches_by_handle(const Api &api, Handle tensor, const Operand &operand, Index dims,
                              const Index *shape, const void **hints, void **memory) {
    int dtype, device, layout;
    Index found_dims, *sizes, *strides;
    if (api.get_layout(tensor, &layout) || layout) return false;
    if (api.get_dtype(tensor, &dtype) || dtype != operand.dtype) return false;
    if (api.get_device_type(tensor, &device) || device != operand.device_type) return false;
    if (api.get_data_ptr(tensor, memory)) return false;
    if (dims == ANY) return true;
    if (api.get_sizes(tensor, &sizes)) return false;
    *hints = sizes;
    if (api.get_dim(tensor, &found_dims) || found_dims != dims) return false;
    return !api.get_strides(tensor, &strides) && has_shape(dims, sizes, strides, shape);
}

// A reference to an object's attribute for as long as this object lives; null where it has none.
struct Attribute {
    const Api &api;
    Object value;

    Attribute(const Api &api, Object owner, Object name)
        : api(api), value(api.attribute(owner, name)) {
        if (!value) api.forget_error();
    }
    ~Attribute() { if (value) api.release(value); }

    bool is_of(Object one, Object other) const {  // one of two classes
        if (!value || value == api.none) return false;
        Object type = api.type(value);
        api.release(type);
        return type == one || type == other;
    }
    // Whether it is an ordinary tensor, whose memory holds its values.
    bool is_tensor() const { return is_of(api.tensor, api.parameter); }
};

struct Gradient : Attribute {
    Gradient(const Api &api, Object parameter) : Attribute(api, parameter, api.grad) {}
    bool is_missing() const { return value == api.none; }
};

// Reads the gradient of a parameter that is the tensor that it was.
static bool gradient_matches_by_handle(const Api &api, const Plan &plan, Index r,
                                       const Index *shape, const void **hints, void **memory) {
    Handle gradient = (Handle)&api.gradient(plan.impls[r]);
    bool is_defined = false;
    hints[plan.columns() - 1] = gradient;
    if (api.is_defined(gradient, &is_defined) || !is_defined) return false;
    return matches_by_handle(api, gradient, plan.operands[1], plan.dims[r], shape, hints, memory);
}

static bool gradient_matches_by_view(const Api &api, const Plan &plan, Index r,
                                     const Index *shape, const void **hints, void **memory) {
    Gradient gradient(api, plan.params[r]);
    return gradient.is_tensor() &&
           matches_by_view(api, gradient.value, plan.operands[1], plan.dims[r], shape, hints,
                           memory);
}

// Reads the share that this rank has of a DTensor's gradient, if it is placed as expected.
static bool share_matches(const Api &api, const Plan &plan, Index r, const Index *shape,
                          const void **hints, void **memory) {
    Gradient gradient(api, plan.wholes[r]);
    if (!gradient.value || gradient.is_missing()) return false;
    hints[plan.columns() + 1] = gradient.value;
    if (Attribute(api, gradient.value, api.spec).value != plan.specs[r]) return false;
    Attribute share(api, gradient.value, api.local_part);
    hints[plan.columns() + 2] = share.value;
    return share.is_of(api.tensor, api.tensor) &&
           matches_by_view(api, share.value, plan.operands[1], plan.dims[r], shape, hints, memory);
}

// Returns whether a row is no part of a DTensor, or still is what it was a part of.
static bool is_as_noted(const Api &api, const Plan &plan, Index r) {
    Object whole = plan.wholes ? plan.wholes[r] : nullptr;
    return !whole || Attribute(api, whole, api.local_part).value == plan.noted[r];
}

static bool gradient_matches(const Api &api, const Plan &plan, Index r, bool is_same,
                             const Index *shape, const void **hints, void **memory) {
    if (plan.specs && plan.specs[r] && share_matches(api, plan, r, shape, hints, memory)) return true;
    return is_same ? gradient_matches_by_handle(api, plan, r, shape, hints, memory)
                   : gradient_matches_by_view(api, plan, r, shape, hints, memory);
}

// Moves on behind the forms of the row.
static bool read_row(const Api &api, const Plan &plan, Index r, const Index *shape,
                     const Index **form) {
    const void **hints = plan.hints_of_row(r);
    void **memory = plan.memory + r;
    Index dims = plan.dims[r];
    if (!is_as_noted(api, plan, r)) return false;
    if (!matches_by_view(api, plan.params[r], plan.operands[0], dims, shape, hints, memory))
        return false;
    bool is_same = api.gradient && *hints && *hints == plan.tokens[r];
    memory += plan.rows;
    if (!gradient_matches(api, plan, r, is_same, shape, hints + 1, memory)) return false;
    for (Index k = 0; k < plan.buffers; k++) {
        Index index = r * plan.buffers + k;
        const Operand &operand = plan.operands[2 + k];
        const void **hint = hints + 2 + k;
        memory += plan.rows;
        Index wanted = k + plan.numbers >= plan.buffers ? ANY : dims;
        const Index *sizes = shape;
        if (plan.shaped[k]) {
            wanted = **form;
            sizes = *form + 1;
            *form = sizes + 2 * wanted;
        }
        bool matches = plan.handles
            ? matches_by_handle(api, plan.handles[index], operand, wanted, sizes, hint, memory)
            : matches_by_view(api, plan.states[index], operand, wanted, sizes, hint, memory);
        if (!matches)
            return false;
    }
    return true;
}

// Prefetches what a row to come will need if it is a part of a DTensor. Inlined by force, as the
// next one: GCC takes what only prefetches for one without effect, and drops its calls.
__attribute__((always_inline)) static inline void fetch_whole(const Plan &plan, Index r) {
    const void **hints = plan.hints_of_row(r);
    for (Index k = plan.columns() + 1; k < plan.hints_each(); k++) {
        __builtin_prefetch(hints[k]);
        __builtin_prefetch((const char *)hints[k] + 64);
    }
    __builtin_prefetch(plan.wholes[r]);
    __builtin_prefetch((const char *)plan.wholes[r] + 64);
    __builtin_prefetch(plan.noted[r]);
}

// Prefetches what a row to come will need.
__attribute__((always_inline)) static inline void fetch_row(const Plan &plan, Index r) {
    const void **hints = plan.hints_of_row(r);
    for (Index k = 0; k < plan.columns(); k++) {
        __builtin_prefetch((const char *)hints[k] - 64);
        __builtin_prefetch(hints[k]);
        __builtin_prefetch((const char *)hints[k] + 64);
    }
    __builtin_prefetch(hints[plan.columns()]);
    for (Index k = 0; plan.handles && k < plan.buffers; k++)
        __builtin_prefetch(plan.handles[r * plan.buffers + k]);
    __builtin_prefetch(plan.params[r]);
    __builtin_prefetch(plan.dicts[r]);
    if (plan.wholes) fetch_whole(plan, r);
    for (Index k = plan.columns() - plan.numbers; k < plan.columns(); k++)
        __builtin_prefetch(plan.memory[k * plan.rows + r]);
}

static bool note_view(const Api &api, Object tensor, Operand *operand) {
    View view;
    if (!take_view(api, tensor, &view)) return false;
    operand->code = view.code;
    operand->bits = view.bits;
    operand->device = view.device;
    operand->device_index = view.device_index;
    return true;
}

static bool note_handle(const Api &api, Handle tensor, Operand *operand) {
    return !api.get_dtype(tensor, &operand->dtype) &&
           !api.get_device_type(tensor, &operand->device_type);
}

// Notes dtype and device of the first row's tensors, which those of all rows have to have, and
// which tensors the parameters are; returns whether all of it can be read.
extern "C" int note(const Api *api, const Plan *plan) {
    Gradient gradient(*api, plan->params[0]);
    Operand *operand = plan->operands;
    if (!gradient.is_tensor() || !note_view(*api, plan->params[0], operand)) return 0;
    if (!note_view(*api, gradient.value, operand + 1)) return 0;
    if (api->gradient && !note_handle(*api, (Handle)&api->gradient(plan->impls[0]), operand + 1))
        return 0;
    for (Index b = 0; b < plan->buffers; b++) {
        if (!note_view(*api, plan->states[b], operand + 2 + b)) return 0;
        if (plan->handles && !note_handle(*api, plan->handles[b], operand + 2 + b)) return 0;
    }
    for (Index r = 0; r < plan->rows; r++) {
        View view;
        if (!take_view(*api, plan->params[r], &view)) return 0;
        plan->tokens[r] = view.sizes;
    }
    return 1;
}

// Returns whether everything is as it was, in which case `memory` is filled.
extern "C" int refresh(const Api *api, const Plan *plan) {
    const Index *shape = plan->shapes, *form = plan->forms;
    const Object *entries = plan->entries;
    for (Index r = 0; r < plan->rows; r++) {
        if (r + AHEAD < plan->rows) fetch_row(*plan, r + AHEAD);
        if (!has_values(*api, plan->dicts[r], entries, plan->counts[r])) return 0;
        if (!read_row(*api, *plan, r, shape, &form)) return 0;
        shape += 2 * plan->dims[r];
        entries += plan->counts[r];
    }
    return 1;
}

// Writes the pointers in a list of capsules.
extern "C" void open_capsules(const Api *api, Object capsules, void **pointers) {
    for (Index i = 0, count = api->length(capsules); i < count; i++)
        pointers[i] = api->pointer(api->element(capsules, i), nullptr);
}
