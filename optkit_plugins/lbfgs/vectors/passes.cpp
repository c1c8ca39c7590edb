// The passes of L-BFGS over its long vectors, and the small matrices between them.
//
// A vector is walked in chunks that fit into the nearest cache, and everything that is asked of a
// chunk is done while it is there. Sums are kept chunk by chunk and added in order, so that they
// don't depend on the number of threads.
static const Index CHUNK = 4096;

struct Job {
    Index size, room, threads;
    Real *vectors[5];       // the start, the direction, and three gradients
    Real **rows;            // the steps, then the changes of the gradient
    double *inverse, *squares, *curvatures;
    double *products;       // of every row with the latest gradient
    double *before;         // with the one before it; then with its change
    double *coefficients;
    double *partial;        // sums of each chunk
    double *numbers;        // what is asked for, in the places that block.py gives it
    Index fresh;            // the pair whose rows hold a direction and a gradient still, or -1
    double step;            // that of the pair
    double at;              // how far from the start the passes have put the parameters, or NaN
    Index follows;          // whether the start is where the parameters are, and not copied yet
    Index pieces;           // the number of parameters
    const Index *ends;      // where each one's part of a vector ends
    Real *const *places;    // where each one's elements are, or its gradient's; null for zeros
};
LAYOUT(Job, AT(Job, size), AT(Job, room), AT(Job, threads), AT(Job, vectors), AT(Job, rows),
       AT(Job, inverse), AT(Job, squares), AT(Job, curvatures), AT(Job, products), AT(Job, before),
       AT(Job, coefficients), AT(Job, partial), AT(Job, numbers), AT(Job, fresh), AT(Job, step),
       AT(Job, at), AT(Job, follows), AT(Job, pieces), AT(Job, ends), AT(Job, places))

struct Pass {
    const Job &space;
    Index width;            // sums that each chunk has
    void (*chunk)(const Pass &, Index begin, Index end, double *sums);
    Index count, slot, before, after;
    double step;            // or another factor
    bool backward;          // from the end, where the pass before it has left the caches
};

extern "C" {
__attribute__((weak)) void GOMP_parallel(void (*)(void *), void *, unsigned, unsigned);
__attribute__((weak)) int omp_get_thread_num(void);
__attribute__((weak)) int omp_get_num_threads(void);
}

static Index chunks(const Job &space) { return (space.size + CHUNK - 1) / CHUNK; }

static void share(const Pass &pass, Index first, Index last) {
    for (Index k = first; k < last; k++) {
        Index c = pass.backward ? first + last - 1 - k : k;
        Index begin = c * CHUNK, end = begin + CHUNK;
        pass.chunk(pass, begin, end < pass.space.size ? end : pass.space.size,
                   pass.space.partial + c * pass.width);
    }
}

static void work(void *given) {
    const Pass &pass = *(const Pass *)given;
    Index total = chunks(pass.space), workers = omp_get_num_threads();
    Index each = (total + workers - 1) / workers, first = each * omp_get_thread_num();
    share(pass, first, first + each < total ? first + each : total);
}

static void walk(const Pass &pass) {
    if (pass.space.threads > 1 && GOMP_parallel && omp_get_thread_num && omp_get_num_threads)
        GOMP_parallel(work, (void *)&pass, (unsigned)pass.space.threads, 0);
    else
        share(pass, 0, chunks(pass.space));
}

static double total(const Pass &pass, Index column) {
    double sum = 0;
    for (Index c = 0; c < chunks(pass.space); c++)
        sum += pass.space.partial[c * pass.width + column];
    return sum;
}

static double most(const Pass &pass, Index column) {
    double found = 0;
    for (Index c = 0; c < chunks(pass.space); c++) {
        double value = pass.space.partial[c * pass.width + column];
        found = value > found || value != value ? value : found;
        if (found != found) break;
    }
    return found;
}

// The number of the row that is the j-th of `count` steps and as many changes, those of one pair
// left out unless that is -1.
static Index numbered(const Job &space, Index j, Index count, Index without) {
    Index pair = j < count ? j : j - count;
    if (without >= 0 && pair >= without) pair++;
    return j < count ? pair : space.room + pair;
}

// Find rows from the j-th on; where there are no more, the last one stands in.
static void find_rows(const Pass &pass, Index j, Index begin, Index many, const Real **rows) {
    for (Index r = 0; r < many; r++) {
        Index last = 2 * pass.count - 1, own = j + r < last ? j + r : last;
        rows[r] = pass.space.rows[numbered(pass.space, own, pass.count, pass.slot)] + begin;
    }
}

// Call `each` with the elements of every parameter that has some between two places.
template <class Each>
static void for_pieces(const Job &space, Index begin, Index end, Each each) {
    Index piece = 0;
    for (Index width = space.pieces; width > 1;) {
        Index half = width / 2;
        if (space.ends[piece + half - 1] <= begin) piece += half, width -= half;
        else width = half;
    }
    for (; begin < end; piece++) {
        Index first = piece ? space.ends[piece - 1] : 0;
        Index last = space.ends[piece] < end ? space.ends[piece] : end;
        Real *place = space.places[piece];
        each(place ? place + (begin - first) : place, begin, last - begin);
        begin = last;
    }
}

static void measure_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    const Job &space = pass.space;
    const Real *g = space.vectors[pass.after] + begin;
    const Real *before = pass.before ? space.vectors[pass.before] + begin : g;
    const Real *others[] = {space.vectors[1] + begin, g, before};
    multiply_rows<3, 2>(others, g, end - begin, sums);
    sums[3] = largest(g, end - begin);
}

static void receive_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    Real *vector = pass.space.vectors[pass.after], factor = (Real)pass.step;
    for_pieces(pass.space, begin, end, [=](const Real *given, Index first, Index n) {
        for (Index i = 0; i < n; i++) vector[first + i] = given ? factor * given[i] : 0;
    });
    measure_chunk(pass, begin, end, sums);
}

static void move_chunk(const Pass &pass, Index begin, Index end, double *) {
    Real *start = pass.space.vectors[0], step = (Real)pass.space.at;
    const Real *direction = pass.space.vectors[1];
    bool follows = pass.space.follows;
    for_pieces(pass.space, begin, end, [=](Real *x, Index first, Index n) {
        Real *here = start + first;
        const Real *d = direction + first;
        if (follows)
            for (Index i = 0; i < n; i++) here[i] = x[i];
        for (Index i = 0; i < n; i++) x[i] = multiply_add(step, d[i], here[i]);
    });
}

static void compare_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    const Job &space = pass.space;
    bool moved = false;
    for_pieces(space, begin, end, [&](const Real *x, Index first, Index n) {
        moved |= differ(x, space.vectors[0] + first, n);
    });
    const Real *g = space.vectors[pass.slot] + begin;
    sums[0] = moved;
    sums[1] = dot(space.vectors[pass.before] + begin, space.vectors[1] + begin, end - begin);
    sums[2] = differ(g, space.vectors[pass.after] + begin, end - begin);
}

static void look_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    const Real *g = pass.space.vectors[pass.after] + begin, *rows[MULTIPLIED];
    double found[MULTIPLIED];
    for (Index j = 0; j < 2 * pass.count; j += MULTIPLIED) {
        find_rows(pass, j, begin, MULTIPLIED, rows);
        multiply_rows<MULTIPLIED, 2>(rows, g, end - begin, found);
        for (Index r = 0; r < MULTIPLIED && j + r < 2 * pass.count; r++) sums[j + r] = found[r];
    }
}

// Make the rows of the new pair from the direction and the gradient before, which they hold.
static void make_pair(const Job &space, const Real *g, Index begin, Index end) {
    Real *s = space.rows[space.fresh], *y = space.rows[space.room + space.fresh];
    Real step = (Real)space.step;
    for (Index i = begin; i < end; i++) y[i] = g[i] - y[i];
    if (step != 1)
        for (Index i = begin; i < end; i++) s[i] *= step;
}

static void aim_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    const Job &space = pass.space;
    const Real *g = space.vectors[pass.after] + begin, *rows[ADDED];
    Real *d = space.vectors[1] + begin, gamma = (Real)pass.step;
    Index n = end - begin;
    if (space.fresh >= 0) make_pair(space, g - begin, begin, end);
    for (Index i = 0; i < n; i++) d[i] = -gamma * g[i];
    for (Index j = (2 * pass.count + ADDED - 1) / ADDED * ADDED - ADDED; j >= 0; j -= ADDED) {
        Real factors[ADDED] = {};
        for (Index r = 0; r < ADDED && j + r < 2 * pass.count; r++)
            factors[r] = (Real)space.coefficients[numbered(space, j + r, pass.count, -1)];
        find_rows(pass, j, begin, ADDED, rows);
        add_rows(d, rows, factors, n);
    }
    sums[0] = dot(d, g, n);
    sums[1] = largest(d, n);
    if (space.at == space.at) move_chunk(pass, begin, end, sums);
}

static void look_at(const Job *space, const Pass &pass, Index slot, Index other) {
    walk(pass);
    space->numbers[0] = total(pass, 0);
    if (other >= 0) space->numbers[1 + other] = total(pass, 2);
    space->numbers[1 + slot] = total(pass, 1);
    space->numbers[4] = most(pass, 3);
}

// What is known of the gradient in a slot: its products with the direction, with that in another
// slot, if there is one, and with itself; and its largest element.
extern "C" void measure(const Job *space, Index slot, Index other) {
    Index before = other < 0 ? 0 : 2 + other;
    look_at(space, {*space, 4, measure_chunk, 0, 0, before, 2 + slot, 0, false}, slot, other);
}

// The same of the parameters' gradients, which are put into the slot, times a factor.
extern "C" void receive(const Job *space, Index slot, Index other, double factor) {
    Index before = other < 0 ? 0 : 2 + other;
    look_at(space, {*space, 4, receive_chunk, 0, 0, before, 2 + slot, factor, true}, slot, other);
}

// Put the parameters at a step along the direction.
extern "C" void move(Job *space, double step) {
    space->at = step;
    walk({*space, 0, move_chunk, 0, 0, 0, 0, 0, false});
    space->follows = 0;
}

// Whether the parameters aren't at the start, the slope at the gradient before, and whether the
// gradient in a slot isn't the last one.
extern "C" void compare(const Job *space, Index slot, Index before, Index last) {
    Pass pass = {*space, 3, compare_chunk, 0, 2 + slot, 2 + before, 2 + last, 0, false};
    walk(pass);
    for (Index j = 0; j < 3; j++) space->numbers[5 + j] = total(pass, j);
}

// The products of the rows of `count` pairs with the gradient in a slot.
extern "C" void look(const Job *space, Index slot, Index count, double *products) {
    Pass pass = {*space, 2 * count, look_chunk, count, -1, 0, 2 + slot, 0, false};
    walk(pass);
    for (Index j = 0; j < 2 * count; j++)
        products[numbered(*space, j, count, -1)] = total(pass, j);
}

static void exchange(Real *&one, Real *&other) {
    Real *first = one;
    one = other;
    other = first;
}

// Remember a step along the direction and the change of the gradient, multiply every row with the
// new gradient, and bring the small matrices up to date. The direction and the gradient before
// become rows, which `aim` makes those of the pair; in their places come the rows that are left
// out, whatever they hold.
extern "C" void take_in(Job *space, Index slot, Index count, double step, Index before,
                        Index after, const double *known) {
    double along = known[0], across = known[1], curvature = known[2], square = known[3];
    Index room = space->room, others = count - 1;
    exchange(space->vectors[1], space->rows[slot]);
    exchange(space->vectors[2 + before], space->rows[room + slot]);
    space->fresh = slot;
    space->step = step;
    Pass pass = {*space, 2 * others, look_chunk, others, slot, 0, 2 + after, 0, false};
    walk(pass);
    double *u = space->before, *v = space->products, *r = space->inverse;
    for (Index j = 0; j < 2 * others; j++) {
        Index row = numbered(*space, j, others, slot);
        double now = total(pass, j);
        u[row] = now - v[row];
        v[row] = now;
    }
    u[slot] = curvature, u[room + slot] = square;
    v[slot] = along, v[room + slot] = across;
    for (Index j = 0; j < room; j++) r[slot * room + j] = r[j * room + slot] = 0;
    multiply_matrix(r, room, count, u, space->coefficients);
    for (Index j = 0; j < count; j++) {
        r[j * room + slot] = -space->coefficients[j] / curvature;
        space->squares[slot * room + j] = space->squares[j * room + slot] = u[room + j];
    }
    r[slot * room + slot] = 1 / curvature;
    space->curvatures[slot] = curvature;
}

// Make the direction from coefficients of the rows and the gradient in a slot; put the parameters
// at a step along it, unless that is NaN.
extern "C" void combine(Job *space, Index count, Index slot, double gamma, double step) {
    space->at = step;
    Pass pass = {*space, 2, aim_chunk, count, -1, 0, 2 + slot, gamma, true};
    walk(pass);
    space->fresh = -1;
    space->numbers[0] = total(pass, 0);
    space->numbers[4] = most(pass, 1);
    if (step == step) space->follows = 0;
}

// The same from the products of the rows with the gradient.
extern "C" void aim(Job *space, Index count, Index slot, double gamma, double step) {
    Index room = space->room;
    const double *along = space->products, *across = along + room;
    double *c = space->coefficients, *steps = c + room, *inner = space->partial;
    multiply_matrix(space->inverse, room, count, along, steps);
    multiply_matrix(space->squares, room, count, steps, inner);
    for (Index j = 0; j < count; j++)
        inner[j] = gamma * (across[j] - inner[j]) - space->curvatures[j] * steps[j];
    combine_matrix(space->inverse, room, count, inner, c);
    for (Index j = 0; j < count; j++) steps[j] *= gamma;
    combine(space, count, slot, gamma, step);
}
