// Reads where the tensors of a bucket lie, and notices whatever has changed since its plan was
// made, in a few nanoseconds for each. What isn't an ordinary tensor is read by functions that
// torch exports.
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
    const Handle &(*grad)(const void *);
    int (*next_item)(Object, long *, Object *, Object *);  // of a dict, borrowed
    long (*length)(Object);
    Object (*element)(Object, long);  // of a list, borrowed
    Ordinary ordinary;
};

// What all tensors of a column have in common: the parameters, for example.
struct Operand {
    Index itemsize, dtype, device;
    Index type;  // the dtype as a tensor's field has it
};

// Where a tensor of a row and its storage were found last; also what is fetched ahead of its use.
struct Found {
    const Tensor *tensor;
    const Storage *storage;
};

struct Plan {
    Index rows, buffers;     // the step counter is the last of the buffers
    const Handle *params;    // where each row's Python object keeps its tensor
    const Handle *states;    // the buffers' tensors, row by row
    const Object *dicts;     // the state of each row
    const Object *entries;   // the objects in them, in their order
    const Index *counts;     // how many each of them holds
    const Index *dims;       // of each row
    const Index *shapes;     // sizes, then strides, of one row after another
    Operand *operands;       // parameter, gradient and buffers
    Found *found;            // the same, row by row
    const void **gradients;  // where each parameter keeps its gradient
    void **memory;           // result: parameters, gradients, then each buffer, row by row
    Index wide;              // whether step counters are float64, not float32

    Index columns() const { return 2 + buffers; }
};

// Tensors whose elements somebody wants to find.
struct Elements {
    Index count, itemsize;
    const Handle *tensors;  // where each one's Python object keeps it
    Handle example;         // likewise
    const Index *sizes;     // elements of each
    void **places;          // result
};

static const Index ANY = -1;   // number of dimensions, where the shape doesn't matter
static const Index AHEAD = 4;  // rows; of 2 to 16 the best for caches cold and warm

// Returns whether a dict's values are exactly these objects, in this order.
static bool holds(const Api &api, Object dict, const Object *wanted, Index count) {
    long place = 0;
    Object key, value;
    Index found = 0;
    while (api.next_item(dict, &place, &key, &value))
        if (found == count || value != wanted[found++]) return 0;
    return found == count;
}

// Returns whether a tensor that isn't an ordinary one is of its column's kind, and its address.
static bool ask(const Api &api, Handle tensor, const Operand &operand, Index dims,
                const Index *shape, void **address) {
    int dtype, device, layout;
    Index found, *sizes, *strides;
    if (api.get_layout(tensor, &layout) || layout) return false;
    if (api.get_dtype(tensor, &dtype) || dtype != operand.dtype) return false;
    if (api.get_device_type(tensor, &device) || device != operand.device) return false;
    if (api.get_data_ptr(tensor, address)) return false;
    if (dims == ANY) return true;
    if (api.get_dim(tensor, &found) || found != dims) return false;
    if (api.get_sizes(tensor, &sizes) || api.get_strides(tensor, &strides)) return false;
    return has_shape(dims, sizes, strides, shape);
}

// Returns whether a tensor is of its column's kind, and its address.
static bool read(const Api &api, Found *found, const Operand &operand, Index dims,
                 const Index *shape, void **address) {
    const Tensor &tensor = *found->tensor;
    if (!api.ordinary.includes(tensor))
        return ask(api, &found->tensor, operand, dims, shape, address);
    found->storage = tensor.storage;
    *address = tensor.storage->data + tensor.offset * operand.itemsize;
    if (tensor.dtype != operand.type) return false;
    if (dims == ANY) return true;
    return tensor.dims == dims && has_shape(dims, tensor.sizes, tensor.strides, shape);
}

static bool is_defined(const Api &api, Handle tensor) {
    bool defined = false;
    return !api.is_defined(tensor, &defined) && defined;
}

static bool read_row(const Api &api, const Plan &plan, Index r, const Index *shape) {
    Found *found = plan.found + r * plan.columns();
    if (found[0].tensor != *(const Tensor **)plan.params[r]) return false;
    const Handle &gradient = api.grad(found[0].tensor);
    plan.gradients[r] = &gradient;
    if (!is_defined(api, (Handle)&gradient)) return false;
    found[1].tensor = (const Tensor *)gradient;
    for (Index k = 0; k < plan.columns(); k++) {
        bool is_step = k + 1 == plan.columns();
        void **address = plan.memory + k * plan.rows + r;
        Index dims = is_step ? ANY : plan.dims[r];
        if (!read(api, found + k, plan.operands[k], dims, shape, address)) return false;
    }
    return true;
}

PREFETCHING fetch_row(const Plan &plan, Index r) {
    const Found *found = plan.found + r * plan.columns();
    for (Index k = 0; k < plan.columns(); k++) {
        fetch(found[k].tensor, sizeof(Tensor));
        fetch(found[k].storage, sizeof(Storage));
    }
    fetch(plan.params[r], 1);
    fetch(plan.gradients[r], 1);
    fetch(plan.dicts[r], LINE);
    fetch(plan.memory[(1 + plan.buffers) * plan.rows + r], 1);  // the step counter
}

static bool note_kind(const Api &api, const Tensor *tensor, Operand *operand) {
    int dtype, device;
    if (api.get_dtype(&tensor, &dtype) || api.get_device_type(&tensor, &device)) return false;
    operand->dtype = dtype;
    operand->device = device;
    operand->type = tensor->dtype;
    return true;
}

// Notes where the tensors are, and the kinds of the first row's, which those of all rows have
// to be.
extern "C" int note(const Api *api, Plan *plan) {
    Index columns = plan->columns();
    for (Index r = 0; r < plan->rows; r++) {
        Found *found = plan->found + r * columns;
        found[0].tensor = *(const Tensor **)plan->params[r];
        found[1].tensor = (const Tensor *)api->grad(found[0].tensor);
        for (Index b = 0; b < plan->buffers; b++)
            found[2 + b].tensor = *(const Tensor **)plan->states[r * plan->buffers + b];
    }
    bool known = true;
    for (Index k = 0; k < columns; k++)
        known = known && note_kind(*api, plan->found[k].tensor, plan->operands + k);
    return known;
}

// Returns whether everything is as it was, in which case `memory` is filled.
extern "C" int refresh(const Api *api, const Plan *plan) {
    const Index *shape = plan->shapes;
    const Object *entries = plan->entries;
    for (Index r = 0; r < plan->rows; r++) {
        if (r + AHEAD < plan->rows) fetch_row(*plan, r + AHEAD);
        if (!holds(*api, plan->dicts[r], entries, plan->counts[r])) return 0;
        if (!read_row(*api, *plan, r, shape)) return 0;
        shape += 2 * plan->dims[r];
        entries += plan->counts[r];
    }
    return 1;
}

// Returns whether a tensor's elements lie one after the other, so many of them.
static bool is_whole(const Tensor &tensor, Index size) {
    Index distance = 1;
    for (Index d = tensor.dims; d--;) {
        if (tensor.sizes[d] != 1 && tensor.strides[d] != distance) return false;
        distance *= tensor.sizes[d];
    }
    return tensor.elements == size;
}

// Writes where the elements of each tensor begin, or those of its gradient, if it has one, and
// returns whether they are as expected: ordinary tensors, whole, and of the example's dtype.
extern "C" int find(const Api *api, const Elements *wanted, int gradients) {
    for (Index i = 0; i < wanted->count; i++) {
        const Tensor *tensor = *(const Tensor **)wanted->tensors[i];
        if (gradients) {
            const Handle &gradient = api->grad(tensor);
            wanted->places[i] = nullptr;
            if (!is_defined(*api, (Handle)&gradient)) continue;
            tensor = (const Tensor *)gradient;
        }
        if (!api->ordinary.includes(*tensor) || !is_whole(*tensor, wanted->sizes[i])) return 0;
        if (tensor->dtype != (*(const Tensor **)wanted->example)->dtype) return 0;
        wanted->places[i] = tensor->storage->data + tensor->offset * wanted->itemsize;
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
    for (Index r = 0; r < count; r++)
        if (is_defined(*api, (Handle)&api->grad(*(const void **)params[r]))) return 0;
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

// Returns whether a tensor's fields say what torch's functions say of it.
static bool is_as_known(const Api &api, Found found, Index itemsize) {
    const Tensor &tensor = *found.tensor;
    Operand operand = {itemsize, 0, 0, 0};
    if (!note_kind(api, &tensor, &operand) || !api.ordinary.includes(tensor)) return false;
    Index shape[2 * INLINE];
    for (Index d = 0; d < tensor.dims; d++) {
        shape[d] = tensor.sizes[d];
        shape[tensor.dims + d] = tensor.strides[d];
    }
    void *asked, *address;
    return ask(api, &found.tensor, operand, tensor.dims, shape, &asked) &&
           read(api, &found, operand, tensor.dims, shape, &address) && address == asked;
}

// Takes the first of some tensors for an example of the ordinary ones, if the fields of all say
// what torch's functions say.
extern "C" int learn_fields(Api *api, const Handle *tensors, const Index *itemsizes, Index count) {
    Found first = {*(const Tensor **)tensors[0], nullptr};
    api->ordinary.table = first.tensor->table;
    api->ordinary.keys = first.tensor->keys;
    __builtin_memcpy(api->ordinary.device, first.tensor->device, sizeof first.tensor->device);
    for (Index i = 0; i < count; i++) {
        Found found = {*(const Tensor **)tensors[i], nullptr};
        bool is_alike = itemsizes[i] == itemsizes[0];
        if ((found.tensor->dtype == first.tensor->dtype) == is_alike &&
            is_as_known(*api, found, itemsizes[i]))
            continue;
        api->ordinary = {};
        return 0;
    }
    return 1;
}
