// Reads where the tensors of a bucket lie, and notices whatever has changed since its plan was
// made, in a few nanoseconds for each. It calls functions that torch and Python export.
typedef long long Index;
typedef void *Handle;
typedef void *Object;

struct Api {
    int (*is_defined)(Handle, bool *);
    int (*get_data_ptr)(Handle, void **);
    int (*get_dim)(Handle, Index *);
    int (*get_sizes)(Handle, Index **);
    int (*get_strides)(Handle, Index **);
    int (*get_dtype)(Handle, int *);
    int (*get_device_type)(Handle, int *);
    int (*get_layout)(Handle, int *);
    const Handle &(*grad)(void *);
    int (*next_item)(Object, long *, Object *, Object *);  // of a dict, borrowed
    long (*length)(Object);
    Object (*element)(Object, long);  // of a list, borrowed
};

struct Operand {
    Index dtype, device;
};

struct Plan {
    Index rows, buffers;     // the step counter is the last of the buffers
    const Handle *params;    // one for each row
    const Handle *states;    // the buffers' tensors, row by row
    const Object *dicts;     // the state of each row
    const Object *entries;   // the objects in them, in their order
    const Index *counts;     // how many each of them holds
    const Index *dims;       // of each row
    const Index *shapes;     // sizes, then strides, of one row after another
    Operand *kinds;          // of parameter, gradient and buffers
    void **memory;           // result: parameters, gradients, then each buffer, row by row
    Index wide;              // whether step counters are float64, not float32
};

// Returns whether a dict's values are exactly these objects, in this order.
static bool holds(const Api &api, Object dict, const Object *wanted, Index count) {
    long place = 0;
    Object key, value;
    Index found = 0;
    while (api.next_item(dict, &place, &key, &value))
        if (found == count || value != wanted[found++]) return 0;
    return found == count;
}

static bool same_shape(const Api &api, Handle tensor, Index dims, const Index *shape) {
    Index found, *sizes, *strides;
    if (api.get_dim(tensor, &found) || found != dims) return false;
    if (api.get_sizes(tensor, &sizes) || api.get_strides(tensor, &strides)) return false;
    for (Index d = 0; d < dims; d++) {
        if (sizes[d] != shape[d]) return false;
        if (sizes[d] > 1 && strides[d] != shape[dims + d]) return false;
    }
    return true;
}

static bool read(const Api &api, Handle tensor, Operand kind, void **address) {
    int dtype, device;
    if (api.get_dtype(tensor, &dtype) || dtype != kind.dtype) return false;
    if (api.get_device_type(tensor, &device) || device != kind.device) return false;
    return !api.get_data_ptr(tensor, address);
}

static bool read_row(const Api &api, const Plan &plan, Index r, const Index *shape,
                     const Object *entries) {
    Handle param = plan.params[r], grad = (Handle)&api.grad(*(void **)param);
    bool defined = false;
    if (!holds(api, plan.dicts[r], entries, plan.counts[r])) return false;
    if (api.is_defined(grad, &defined) || !defined) return false;
    int layout;
    if (api.get_layout(grad, &layout) || layout) return false;
    void **to = plan.memory + r;
    if (!read(api, param, plan.kinds[0], to)) return false;
    if (!same_shape(api, param, plan.dims[r], shape)) return false;
    if (!read(api, grad, plan.kinds[1], to + plan.rows)) return false;
    if (!same_shape(api, grad, plan.dims[r], shape)) return false;
    for (Index b = 0; b < plan.buffers; b++) {
        Index place = r * plan.buffers + b;
        Handle buffer = plan.states[place];
        if (!read(api, buffer, plan.kinds[2 + b], to + (2 + b) * plan.rows)) return false;
        bool is_step = b + 1 == plan.buffers;
        if (!is_step && !same_shape(api, buffer, plan.dims[r], shape)) return false;
    }
    return true;
}

static bool kind_of(const Api &api, Handle tensor, Operand *kind) {
    int dtype, device;
    if (api.get_dtype(tensor, &dtype) || api.get_device_type(tensor, &device)) return false;
    kind->dtype = dtype;
    kind->device = device;
    return true;
}

// Notes the kinds of the first row's tensors, which those of all rows have to be.
extern "C" int note_kinds(const Api *api, Plan *plan) {
    Handle param = plan->params[0];
    bool known = kind_of(*api, param, plan->kinds);
    known = known && kind_of(*api, (Handle)&api->grad(*(void **)param), plan->kinds + 1);
    for (Index b = 0; b < plan->buffers; b++)
        known = known && kind_of(*api, plan->states[b], plan->kinds + 2 + b);
    return known;
}

// Returns whether everything is as it was, in which case `memory` is filled.
extern "C" int refresh(const Api *api, const Plan *plan) {
    const Index *shape = plan->shapes;
    const Object *entries = plan->entries;
    for (Index r = 0; r < plan->rows; r++) {
        if (!read_row(*api, *plan, r, shape, entries)) return 0;
        shape += 2 * plan->dims[r];
        entries += plan->counts[r];
    }
    return 1;
}

// Returns whether a list holds exactly these objects.
extern "C" int same_list(const Api *api, Object list, const Object *wanted, Index count) {
    if (api->length(list) != count) return 0;
    for (Index i = 0; i < count; i++)
        if (api->element(list, i) != wanted[i]) return 0;
    return 1;
}

// Returns whether a dict's values are exactly these objects, in this order.
extern "C" int same_values(const Api *api, Object dict, const Object *wanted, Index count) {
    return holds(*api, dict, wanted, count);
}

// Returns whether none of the parameters has a gradient.
extern "C" int without_gradients(const Api *api, const Handle *params, Index count) {
    for (Index r = 0; r < count; r++) {
        bool defined = true;
        if (api->is_defined((Handle)&api->grad(*(void **)params[r]), &defined) || defined) return 0;
    }
    return 1;
}

// Writes each row's count of steps, once it has advanced, and returns whether all are the same.
extern "C" int next_counts(const Plan *plan, double *counts) {
    void **steps = plan->memory + (1 + plan->buffers) * plan->rows;
    bool wide = plan->wide, same = true;
    for (Index r = 0; r < plan->rows; r++) {
        counts[r] = (wide ? *(double *)steps[r] : *(float *)steps[r]) + 1;
        same = same && counts[r] == counts[0];
    }
    return same;
}

// Adds one to each row's count of steps.
extern "C" void advance(const Plan *plan) {
    void **steps = plan->memory + (1 + plan->buffers) * plan->rows;
    for (Index r = 0; r < plan->rows; r++) {
        if (plan->wide) *(double *)steps[r] += 1;
        else *(float *)steps[r] += 1;
    }
}
