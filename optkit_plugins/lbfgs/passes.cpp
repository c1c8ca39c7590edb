// The passes of L-BFGS over its long vectors, and the small matrices between them.
//
// A vector is walked in chunks that fit into the nearest cache, and everything that is asked of a
// chunk is done while it is there. Sums are kept chunk by chunk and added in order, so that they
// don't depend on the number of threads.
typedef long long Index;

static const Index CHUNK = 2048, LANES = 32;

// What a register of this processor holds; a row's elements are its own alignment.
#ifdef __AVX512F__
static const Index REGISTER = 64 / sizeof(Real);
#else
static const Index REGISTER = 32 / sizeof(Real);
#endif
typedef Real Register
    __attribute__((vector_size(REGISTER * sizeof(Real)), aligned(sizeof(Real)), may_alias));

static const Index TOGETHER = 4;  // rows that are multiplied at once, so that memory has work

struct Space {
    Index size, room, stride, threads;
    Real *vectors[5];       // the start, the direction, and three gradients
    Real *rows;             // the steps, then the changes of the gradient
    double *inverse, *squares, *curvatures;
    double *products;       // of every row with the latest gradient
    double *before;         // with the one before it; then with its change
    double *coefficients;
    double *partial;        // sums of each chunk
    double *numbers;        // what is asked for, in the places that block.py gives it
    Index follows;          // whether the start is where the parameters are, and not copied yet
    Index pieces;           // the number of parameters
    const Index *ends;      // where each one's part of a vector ends
    Real *const *places;    // where each one's elements are, or its gradient's; null for zeros
};

struct Pass {
    const Space &space;
    Index width;            // sums that each chunk has
    void (*chunk)(const Pass &, Index begin, Index end, double *sums);
    Index count, slot, before, after;
    double step;            // or another factor
};

#if defined(__FMA__) || defined(__aarch64__)
static inline float multiply_add(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
static inline double multiply_add(double x, double y, double z) { return __builtin_fma(x, y, z); }
#else
template <class T> static inline T multiply_add(T x, T y, T z) { return x * y + z; }
#endif

template <class T> static double dot(const T *x, const T *y, Index n) {
    T lanes[LANES] = {};
    Index i = 0;
    for (; i + LANES <= n; i += LANES)
        for (Index l = 0; l < LANES; l++) lanes[l] = multiply_add(x[i + l], y[i + l], lanes[l]);
    double sum = 0;
    for (Index l = 0; l < LANES; l++) sum += lanes[l];
    for (; i < n; i++) sum += (double)x[i] * y[i];
    return sum;
}

// What isn't finite shows in the differences, which are 0 for all other numbers, and gives NaN.
static double largest(const Real *x, Index n) {
    Real most[LANES] = {}, strange[LANES] = {};
    Index i = 0;
    for (; i + LANES <= n; i += LANES)
        for (Index l = 0; l < LANES; l++) {
            Real size = x[i + l] < 0 ? -x[i + l] : x[i + l];
            most[l] = size > most[l] ? size : most[l];
            strange[l] += size - size;
        }
    for (Index l = 0; i + l < n; l++) {
        Real size = x[i + l] < 0 ? -x[i + l] : x[i + l];
        most[l] = size > most[l] ? size : most[l];
        strange[l] += size - size;
    }
    double found = 0, sum = 0;
    for (Index l = 0; l < LANES; l++) {
        found = most[l] > found ? most[l] : found;
        sum += strange[l];
    }
    return sum == sum ? found : sum;
}

extern "C" {
__attribute__((weak)) void GOMP_parallel(void (*)(void *), void *, unsigned, unsigned);
__attribute__((weak)) int omp_get_thread_num(void);
__attribute__((weak)) int omp_get_num_threads(void);
}

static Index chunks(const Space &space) { return (space.size + CHUNK - 1) / CHUNK; }

static void share(const Pass &pass, Index first, Index last) {
    for (Index c = first; c < last; c++) {
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

// The number of the row that is the j-th of `count` steps and as many changes.
static Index numbered(const Space &space, Index j, Index count) {
    return j < count ? j : space.room + j - count;
}

static const Real *row(const Space &space, Index r) { return space.rows + r * space.stride; }

// Call `each` with the elements of every parameter that has some between two places.
template <class Each>
static void for_pieces(const Space &space, Index begin, Index end, Each each) {
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
    const Space &space = pass.space;
    const Real *g = space.vectors[pass.after] + begin;
    sums[0] = dot(g, space.vectors[1] + begin, end - begin);
    sums[1] = dot(g, g, end - begin);
    sums[2] = pass.before ? dot(g, space.vectors[pass.before] + begin, end - begin) : 0;
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
    Real *start = pass.space.vectors[0], step = (Real)pass.step;
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

// A row's product is the same whichever rows are multiplied beside it.
template <Index COUNT>
static void dots(const Real *const *rows, const Real *g, Index n, double *sums) {
    Register even[COUNT] = {}, odd[COUNT] = {};
    Index i = 0;
    for (; i + 2 * REGISTER <= n; i += 2 * REGISTER) {
        const Register *here = (const Register *)(g + i);
        for (Index r = 0; r < COUNT; r++) {
            const Register *own = (const Register *)(rows[r] + i);
            even[r] += own[0] * here[0];
            odd[r] += own[1] * here[1];
        }
    }
    for (Index r = 0; r < COUNT; r++) {
        double sum = 0;
        for (Index l = 0; l < REGISTER; l++) sum += (double)even[r][l] + odd[r][l];
        for (Index k = i; k < n; k++) sum += (double)rows[r][k] * g[k];
        sums[r] = sum;
    }
}

static void take_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    const Space &space = pass.space;
    const Real *d = space.vectors[1] + begin, *g = space.vectors[pass.after] + begin;
    const Real *g0 = space.vectors[pass.before] + begin;
    Real *s = (Real *)row(space, pass.slot) + begin;
    Real *y = (Real *)row(space, space.room + pass.slot) + begin;
    Real step = (Real)pass.step;
    Index n = end - begin;
    for (Index i = 0; i < n; i++) {
        s[i] = step * d[i];
        y[i] = g[i] - g0[i];
    }
    for (Index j = 0; j < 2 * pass.count; j += TOGETHER) {
        const Real *rows[TOGETHER];
        Index some = 2 * pass.count - j < TOGETHER ? 2 * pass.count - j : TOGETHER;
        for (Index r = 0; r < some; r++)
            rows[r] = row(space, numbered(space, j + r, pass.count)) + begin;
        if (some == TOGETHER)
            dots<TOGETHER>(rows, g, n, sums + j);
        else
            for (Index r = 0; r < some; r++) dots<1>(rows + r, g, n, sums + j + r);
    }
}

static void add_rows(Real *d, const Space &space, Index first, Index count, const double *c,
                     Index begin, Index n) {
    Index j = 0;
    for (; j + 4 <= count; j += 4) {
        const Real *a = row(space, first + j) + begin, *b = a + space.stride;
        const Real *e = b + space.stride, *f = e + space.stride;
        Real p = (Real)c[j], q = (Real)c[j + 1], r = (Real)c[j + 2], t = (Real)c[j + 3];
        for (Index i = 0; i < n; i++) {
            Real left = multiply_add(p, a[i], d[i]), right = r * e[i];
            d[i] = multiply_add(q, b[i], left) + multiply_add(t, f[i], right);
        }
    }
    for (; j < count; j++) {
        const Real *a = row(space, first + j) + begin;
        for (Index i = 0; i < n; i++) d[i] = multiply_add((Real)c[j], a[i], d[i]);
    }
}

static void aim_chunk(const Pass &pass, Index begin, Index end, double *sums) {
    const Space &space = pass.space;
    const Real *g = space.vectors[pass.after] + begin;
    Real *d = space.vectors[1] + begin, gamma = (Real)pass.step;
    Index n = end - begin;
    for (Index i = 0; i < n; i++) d[i] = -gamma * g[i];
    add_rows(d, space, 0, pass.count, space.coefficients, begin, n);
    add_rows(d, space, space.room, pass.count, space.coefficients + space.room, begin, n);
    sums[0] = dot(d, g, n);
    sums[1] = largest(d, n);
}

static void look_at(const Space *space, const Pass &pass, Index slot, Index other) {
    walk(pass);
    space->numbers[0] = total(pass, 0);
    if (other >= 0) space->numbers[1 + other] = total(pass, 2);
    space->numbers[1 + slot] = total(pass, 1);
    space->numbers[4] = most(pass, 3);
}

// What is known of the gradient in a slot: its products with the direction, with that in another
// slot, if there is one, and with itself; and its largest element.
extern "C" void measure(const Space *space, Index slot, Index other) {
    Index before = other < 0 ? 0 : 2 + other;
    look_at(space, {*space, 4, measure_chunk, 0, 0, before, 2 + slot, 0}, slot, other);
}

// The same of the parameters' gradients, which are put into the slot, times a factor.
extern "C" void receive(const Space *space, Index slot, Index other, double factor) {
    Index before = other < 0 ? 0 : 2 + other;
    look_at(space, {*space, 4, receive_chunk, 0, 0, before, 2 + slot, factor}, slot, other);
}

// Put the parameters at a step along the direction.
extern "C" void move(Space *space, double step) {
    walk({*space, 0, move_chunk, 0, 0, 0, 0, step});
    space->follows = 0;
}

// Remember a step along the direction and the change of the gradient, multiply every row with the
// new gradient, and bring the small matrices up to date.
extern "C" void take_in(Space *space, Index slot, Index count, double step, Index before,
                        Index after, double along, double across, double curvature) {
    Index room = space->room;
    Pass pass = {*space, 2 * count, take_chunk, count, slot, 2 + before, 2 + after, step};
    walk(pass);
    double *u = space->before, *v = space->products, *r = space->inverse;
    for (Index j = 0; j < count; j++) {
        double now[2] = {total(pass, j), total(pass, count + j)};
        u[j] = now[0] - (j == slot ? along : v[j]);
        u[room + j] = now[1] - (j == slot ? across : v[room + j]);
        v[j] = now[0];
        v[room + j] = now[1];
    }
    for (Index j = 0; j < room; j++) r[slot * room + j] = r[j * room + slot] = 0;
    for (Index j = 0; j < count; j++)
        space->coefficients[j] = -dot(r + j * room, u, count) / curvature;
    for (Index j = 0; j < count; j++) {
        r[j * room + slot] = space->coefficients[j];
        space->squares[slot * room + j] = space->squares[j * room + slot] = u[room + j];
    }
    r[slot * room + slot] = 1 / curvature;
    space->curvatures[slot] = curvature;
}

// Make the direction from the products of the rows with the gradient in a slot.
extern "C" void aim(Space *space, Index count, Index slot, double gamma) {
    Index room = space->room;
    const double *along = space->products, *across = along + room;
    double *c = space->coefficients, *steps = c + room;
    for (Index j = 0; j < count; j++) {
        steps[j] = dot(space->inverse + j * room, along, count);
        c[j] = 0;
    }
    for (Index j = 0; j < count; j++) {
        double inner = gamma * (dot(space->squares + j * room, steps, count) - across[j]);
        inner += space->curvatures[j] * steps[j];
        for (Index k = 0; k < count; k++) c[k] -= space->inverse[j * room + k] * inner;
    }
    for (Index j = 0; j < count; j++) steps[j] *= gamma;
    Pass pass = {*space, 2, aim_chunk, count, 0, 0, 2 + slot, gamma};
    walk(pass);
    space->numbers[0] = total(pass, 0);
    space->numbers[4] = most(pass, 1);
}
