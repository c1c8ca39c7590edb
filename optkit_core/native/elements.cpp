// Finds where the elements of parameters, or of their gradients, begin.
struct Elements {
    Index count;
    const Object *params;  // or those whose gradients are looked for
    Object example;        // a tensor of the dtype that is expected
    const Index *sizes;    // elements of each
    void **addresses;      // result
};
LAYOUT(Elements, AT(Elements, count), AT(Elements, params), AT(Elements, example),
       AT(Elements, sizes), AT(Elements, addresses))

// Returns whether a tensor's elements lie one after the other, so many of them.
static bool is_whole(const View &view, Index size) {
    Index distance = 1;
    for (Index d = view.dims; d--;) {
        if (view.sizes[d] != 1 && view.strides[d] != distance) return false;
        distance *= view.sizes[d];
    }
    return distance == size;
}

// Returns whether a tensor's memory holds its values, not their negatives.
static bool is_resolved(const Api &api, Object tensor) {
    Object answer = api.call_method(api.is_neg, &tensor, 1, nullptr);
    if (answer) api.release(answer);
    else api.forget_error();
    return answer == api.no;
}

static bool find_one(const Api &api, Object tensor, const View &example, Index size,
                     void **begin) {
    View view;
    if (!take_view(api, tensor, &view) || !is_whole(view, size)) return false;
    if (!is_resolved(api, tensor)) return false;
    *begin = address(view);
    return view.code == example.code && view.bits == example.bits &&
           view.device == example.device;
}

// Writes where the elements of each tensor begin, or those of its gradient, if it has one, and
// returns whether they are as expected: whole, and of the example's dtype and device.
extern "C" int find(const Api *api, const Elements *wanted, int gradients) {
    View example;
    if (!take_view(*api, wanted->example, &example)) return 0;
    for (Index i = 0; i < wanted->count; i++) {
        void **begin = wanted->addresses + i;
        if (!gradients) {
            if (!find_one(*api, wanted->params[i], example, wanted->sizes[i], begin)) return 0;
            continue;
        }
        Gradient gradient(*api, wanted->params[i]);
        *begin = nullptr;
        if (gradient.is_missing()) continue;
        if (!gradient.is_tensor() ||
            !find_one(*api, gradient.value, example, wanted->sizes[i], begin))
            return 0;
    }
    return 1;
}
