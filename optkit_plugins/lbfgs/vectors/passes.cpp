// The passes of L-BFGS over its long vectors, and the small matrices between them.

// The j-th row in use: those of `count` s, then of as many y, without those of an omitted slot.
static Index row_number(const Workspace &space, Index j, Index count, Index omitted = -1) {
    Index slot = j < count ? j : j - count;
    if (omitted >= 0 && slot >= omitted) slot++;
    return j < count ? slot : space.capacity + slot;
}

// Find rows in use from the j-th on; where there are no more, the last one stands in.
static void find_rows(const Pass &pass, Index j, Index begin, Index many, const Real **rows) {
    for (Index r = 0; r < many; r++) {
        Index last = 2 * pass.count - 1, k = j + r < last ? j + r : last;
        rows[r] = pass.space.pairs[row_number(pass.space, k, pass.count, pass.omitted)] + begin;
    }
}

// Call `each` with the elements of every tensor that has some between two offsets.
template <class Each>
static void for_tensors(const Workspace &space, Index begin, Index end, Each each) {
    Index tensor = 0;
    for (Index width = space.tensors; width > 1;) {
        Index half = width / 2;
        if (space.ends[tensor + half - 1] <= begin) tensor += half, width -= half;
        else width = half;
    }
    for (; begin < end; tensor++) {
        Index first = tensor ? space.ends[tensor - 1] : 0;
        Index last = space.ends[tensor] < end ? space.ends[tensor] : end;
        Real *elements = space.addresses[tensor];
        each(elements ? elements + (begin - first) : elements, begin, last - begin);
        begin = last;
    }
}

static void measure_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    Real *const *vectors = pass.space.vectors;
    const Real *g = vectors[pass.gradient] + begin;
    const Real *other = pass.origin < 0 ? g : vectors[pass.origin] + begin;
    const Real *rows[] = {vectors[DIRECTION] + begin, g, other};
    multiply_rows<3, 2>(rows, g, end - begin, sums);
    sums[3] = largest(g, end - begin);
}

static void receive_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    Real *g = pass.space.vectors[pass.gradient], factor = (Real)pass.factor;
    for_tensors(pass.space, begin, end, [=](const Real *given, Index first, Index n) {
        for (Index i = 0; i < n; i++) g[first + i] = given ? factor * given[i] : 0;
    });
    measure_chunk(pass, begin, end, sums);
}

static void move_chunk(const Pass &pass, Index begin, Index end, double *) {
    Real *start = pass.space.vectors[START], length = (Real)pass.space.position;
    const Real *direction = pass.space.vectors[DIRECTION];
    bool is_lazy = pass.space.is_lazy;
    for_tensors(pass.space, begin, end, [=](Real *x, Index first, Index n) {
        Real *x0 = start + first;
        const Real *d = direction + first;
        if (is_lazy)
            for (Index i = 0; i < n; i++) x0[i] = x[i];
        for (Index i = 0; i < n; i++) x[i] = multiply_add(length, d[i], x0[i]);
    });
}

static void compare_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    Real *const *vectors = pass.space.vectors;
    bool has_moved = false;
    for_tensors(pass.space, begin, end, [&](const Real *x, Index first, Index n) {
        has_moved |= differ(x, vectors[START] + first, n);
    });
    Index n = end - begin;
    sums[0] = has_moved;
    sums[1] = dot(vectors[pass.origin] + begin, vectors[DIRECTION] + begin, n);
    sums[2] = differ(vectors[pass.gradient] + begin, vectors[pass.end] + begin, n);
}

static void project_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    const Real *g = pass.space.vectors[pass.gradient] + begin, *rows[MULTIPLIED];
    double products[MULTIPLIED];
    for (Index j = 0; j < 2 * pass.count; j += MULTIPLIED) {
        find_rows(pass, j, begin, MULTIPLIED, rows);
        multiply_rows<MULTIPLIED, 2>(rows, g, end - begin, products);
        for (Index r = 0; r < MULTIPLIED && j + r < 2 * pass.count; r++) sums[j + r] = products[r];
    }
}

// Make the pending pair of the direction and the gradient before, which its rows hold.
static void make_pair(const Workspace &space, const Real *g, Index begin, Index end) {
    Real *s = space.pairs[space.pending], *y = space.pairs[space.capacity + space.pending];
    Real length = (Real)space.pending_length;
    for (Index i = begin; i < end; i++) y[i] = g[i] - y[i];
    if (length != 1)
        for (Index i = begin; i < end; i++) s[i] *= length;
}

static void combine_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    const Workspace &space = pass.space;
    const Real *g = space.vectors[pass.gradient] + begin, *rows[ADDED];
    Real *d = space.vectors[DIRECTION] + begin, gamma = (Real)pass.factor;
    Index n = end - begin;
    if (space.pending >= 0) make_pair(space, g - begin, begin, end);
    for (Index i = 0; i < n; i++) d[i] = -gamma * g[i];
    for (Index j = (2 * pass.count + ADDED - 1) / ADDED * ADDED - ADDED; j >= 0; j -= ADDED) {
        Real factors[ADDED] = {};
        for (Index r = 0; r < ADDED && j + r < 2 * pass.count; r++)
            factors[r] = (Real)space.coefficients[row_number(space, j + r, pass.count)];
        find_rows(pass, j, begin, ADDED, rows);
        add_rows(d, rows, factors, n);
    }
    sums[0] = dot(d, g, n);
    sums[1] = largest(d, n);
    if (space.position == space.position) move_chunk(pass, begin, end, sums);
}

static void measure_by(Pass pass, Index index, Index other) {
    pass.gradient = FIRST_GRADIENT + index;
    if (other >= 0) pass.origin = FIRST_GRADIENT + other;
    walk(pass);
    double *numbers = pass.space.numbers;
    numbers[SLOPE] = total(pass, 0);
    if (other >= 0) numbers[PRODUCTS + other] = total(pass, 2);
    numbers[PRODUCTS + index] = total(pass, 1);
    numbers[MAX_NORM] = most(pass, 3);
}

// What is known of a gradient: its products with the direction, with another one, if there is
// one, and with itself; and its largest element.
extern "C" void measure(const Workspace *space, Index index, Index other) {
    measure_by({*space, 4, measure_chunk}, index, other);
}

// The same of the parameters' gradients, which are copied there, times a factor.
extern "C" void receive(const Workspace *space, Index index, Index other, double factor) {
    measure_by({*space, 4, receive_chunk, -1, 0, -1, factor, true}, index, other);
}

// Put the parameters at a step along the direction.
extern "C" void move(Workspace *space, double length) {
    space->position = length;
    walk({*space, 0, move_chunk});
    space->is_lazy = 0;
}

// Whether the parameters aren't at the start, the slope at the origin, and whether the gradient
// isn't that at the end of the last step.
extern "C" void compare(const Workspace *space, Index index, Index origin, Index end) {
    Pass pass = {*space, 3, compare_chunk, FIRST_GRADIENT + index};
    pass.origin = FIRST_GRADIENT + origin, pass.end = FIRST_GRADIENT + end;
    walk(pass);
    for (Index j = 0; j < 3; j++) space->numbers[HAS_MOVED + j] = total(pass, j);
}

// The products of the rows of `count` pairs with a gradient.
extern "C" void project(const Workspace *space, Index count, Index index, double *products) {
    Pass pass = {*space, 2 * count, project_chunk, FIRST_GRADIENT + index, count};
    walk(pass);
    for (Index j = 0; j < 2 * count; j++) products[row_number(*space, j, count)] = total(pass, j);
}

static void exchange(Real *&one, Real *&other) {
    Real *first = one;
    one = other;
    other = first;
}

// Remember a step along the direction and the change of the gradient, and multiply every other row
// with the new gradient. The direction and the gradient before become rows, which the next
// `combine` makes those of the pair; in their places come the rows that are left out, whatever
// they hold.
extern "C" void store_pair(Workspace *space, Index slot, Index count, double length, Index before,
                           Index after, double *products) {
    Index capacity = space->capacity, others = count - 1;
    exchange(space->vectors[DIRECTION], space->pairs[slot]);
    exchange(space->vectors[FIRST_GRADIENT + before], space->pairs[capacity + slot]);
    space->pending = slot;
    space->pending_length = length;
    Pass pass = {*space, 2 * others, project_chunk, FIRST_GRADIENT + after, others, slot};
    walk(pass);
    for (Index j = 0; j < 2 * others; j++)
        products[row_number(*space, j, others, slot)] = total(pass, j);
}

// The same, and bring the small matrices up to date. `known` are the products of s and y with the
// new gradient, and those of y with s and with itself.
extern "C" void push_pair(Workspace *space, Index slot, Index count, double length, Index before,
                          Index after, const double *known) {
    Index capacity = space->capacity, others = count - 1;
    double *with_y = space->previous, *with_g = space->products, *inverse = space->inverse;
    double *products = space->coefficients;
    store_pair(space, slot, count, length, before, after, products);
    for (Index j = 0; j < 2 * others; j++) {
        Index row = row_number(*space, j, others, slot);
        with_y[row] = products[row] - with_g[row];
        with_g[row] = products[row];
    }
    with_g[slot] = known[0], with_g[capacity + slot] = known[1];
    double curvature = with_y[slot] = known[2];
    with_y[capacity + slot] = known[3];
    for (Index j = 0; j < capacity; j++)
        inverse[slot * capacity + j] = inverse[j * capacity + slot] = 0;
    multiply_matrix(inverse, capacity, count, with_y, space->coefficients);
    for (Index j = 0; j < count; j++) {
        Index across = slot * capacity + j, down = j * capacity + slot;
        inverse[down] = -space->coefficients[j] / curvature;
        space->squares[across] = space->squares[down] = with_y[capacity + j];
    }
    inverse[slot * capacity + slot] = 1 / curvature;
    space->curvatures[slot] = curvature;
}

// Make the direction of the coefficients of the rows and of a gradient; put the parameters at a
// step along it, unless that is NaN.
extern "C" void combine(Workspace *space, Index count, Index index, double gamma, double length) {
    space->position = length;
    Pass pass = {*space, 2, combine_chunk, FIRST_GRADIENT + index, count, -1, gamma, true};
    walk(pass);
    space->pending = -1;
    space->numbers[SLOPE] = total(pass, 0);
    space->numbers[DIRECTION_NORM] = most(pass, 1);
    if (length == length) space->is_lazy = 0;
}

// The same from the products of the rows with the gradient, see compact.py.
extern "C" void direct(Workspace *space, Index count, Index index, double gamma, double length) {
    Index capacity = space->capacity;
    const double *with_s = space->products, *with_y = with_s + capacity;
    double *of_s = space->coefficients, *of_y = of_s + capacity, *inner = space->sums;
    multiply_matrix(space->inverse, capacity, count, with_s, of_y);
    multiply_matrix(space->squares, capacity, count, of_y, inner);
    for (Index j = 0; j < count; j++)
        inner[j] = gamma * (with_y[j] - inner[j]) - space->curvatures[j] * of_y[j];
    combine_matrix(space->inverse, capacity, count, inner, of_s);
    for (Index j = 0; j < count; j++) of_y[j] *= gamma;
    combine(space, count, index, gamma, length);
}
