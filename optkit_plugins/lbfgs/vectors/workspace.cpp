// What the passes of L-BFGS work on, and how they walk over it.
//
// A vector is walked in chunks that fit into the nearest cache, and everything that is asked of a
// chunk is done while it is there. Sums are kept chunk by chunk and added in order, so that they
// don't depend on the number of threads.
static const Index CHUNK = 4096;

// Rows of `vectors`, and where each of a block's numbers stands, as in block.py.
enum { START, DIRECTION, FIRST_GRADIENT };
enum { SLOPE, PRODUCTS, MAX_NORM = 4, HAS_MOVED, ORIGIN_SLOPE, HAS_CHANGED, DIRECTION_NORM };

struct Workspace {
    Index size, capacity, threads;
    Real *vectors[5];       // the start, the direction, and three gradients
    Real **pairs;           // every s, then every y
    double *inverse, *squares, *curvatures;
    double *products;       // of every row of the pairs with the latest gradient
    double *previous;       // with the one before it; then with its change
    double *coefficients;
    double *sums;           // of each chunk
    double *numbers;
    Index pending;          // the slot whose rows still hold a direction and a gradient, or -1
    double pending_length;  // the step length that makes the direction s
    double position;        // at which step the passes have put the parameters, or NaN
    Index is_lazy;          // whether the start is where the parameters are, and not copied yet
    Index tensors;          // the number of parameters
    const Index *ends;      // where each one's part of a vector ends
    Real *const *addresses; // of each one's elements, or its gradient's; null for zeros
};
#define FIELD(name) AT(Workspace, name)
LAYOUT(Workspace, FIELD(size), FIELD(capacity), FIELD(threads), FIELD(vectors), FIELD(pairs),
       FIELD(inverse), FIELD(squares), FIELD(curvatures), FIELD(products), FIELD(previous),
       FIELD(coefficients), FIELD(sums), FIELD(numbers), FIELD(pending), FIELD(pending_length),
       FIELD(position), FIELD(is_lazy), FIELD(tensors), FIELD(ends), FIELD(addresses))

struct Pass {
    const Workspace &space;
    Index width;            // sums that each chunk has
    void (*chunk)(const Pass &, Index begin, Index end, double *sums);
    Index gradient = -1;    // which row of the vectors it is
    Index count = 0;        // of pairs
    Index omitted = -1;     // the slot of a pair beside them, or -1
    double factor = 1;      // of the gradient
    bool backward = false;  // from the end, where the pass before it has left the caches
    Index origin = -1, end = -1;  // further gradients
};

extern "C" {
__attribute__((weak)) void GOMP_parallel(void (*)(void *), void *, unsigned, unsigned);
__attribute__((weak)) int omp_get_thread_num(void);
__attribute__((weak)) int omp_get_num_threads(void);
}

static Index chunks(const Workspace &space) { return (space.size + CHUNK - 1) / CHUNK; }

static void walk_chunks(const Pass &pass, Index first, Index last) {
    for (Index k = first; k < last; k++) {
        Index c = pass.backward ? first + last - 1 - k : k;
        Index begin = c * CHUNK, end = begin + CHUNK;
        pass.chunk(pass, begin, end < pass.space.size ? end : pass.space.size,
                   pass.space.sums + c * pass.width);
    }
}

static void work(void *given) {
    const Pass &pass = *(const Pass *)given;
    Index total = chunks(pass.space), workers = omp_get_num_threads();
    Index each = (total + workers - 1) / workers, first = each * omp_get_thread_num();
    walk_chunks(pass, first, first + each < total ? first + each : total);
}

static void walk(const Pass &pass) {
    if (pass.space.threads > 1 && GOMP_parallel && omp_get_thread_num && omp_get_num_threads)
        GOMP_parallel(work, (void *)&pass, (unsigned)pass.space.threads, 0);
    else
        walk_chunks(pass, 0, chunks(pass.space));
}

static double total(const Pass &pass, Index column) {
    double sum = 0;
    for (Index c = 0; c < chunks(pass.space); c++) sum += pass.space.sums[c * pass.width + column];
    return sum;
}

static double most(const Pass &pass, Index column) {
    double greatest = 0;
    for (Index c = 0; c < chunks(pass.space); c++) {
        double value = pass.space.sums[c * pass.width + column];
        greatest = value > greatest || value != value ? value : greatest;
        if (greatest != greatest) break;
    }
    return greatest;
}
