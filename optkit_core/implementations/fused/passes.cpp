// What surrounds the generated passes of a kernel that reduces. A tensor is walked several times,
// in chunks that depend on its sizes alone: what a chunk reduces to is written beside that of the
// others, and all of it is combined in order, so that no result depends on the number of threads.
#pragma omp declare reduction(larger : float, double : omp_out = larger(omp_out, omp_in)) \
    initializer(omp_priv = -__builtin_inf())
#pragma omp declare reduction(smaller : float, double : omp_out = smaller(omp_out, omp_in)) \
    initializer(omp_priv = __builtin_inf())

// A float32 sum of so few numbers for each lane of a register is as good as exact.
static const Index TILE = 256;          // columns that are walked together
static const Index BLOCK = 64;          // rows of a matrix in a chunk, if it has more
static const Index ENOUGH = 4096;       // elements of small matrices in a chunk
static const Index STRETCH = 16384;     // elements in a chunk where there are no matrices

// The processor fetches ahead by itself, but not beyond a page of memory: what is walked next is
// asked for. Beyond the end of a tensor nothing is read. Inlined by force: GCC takes what only
// prefetches for without effect, and drops its calls.
template <class T>
__attribute__((always_inline)) static inline void fetch(const T *from, Index count) {
    for (Index i = 0; i < count; i += 64 / (Index)sizeof(T)) __builtin_prefetch(from + i);
}

static Index parts(Index whole, Index part) { return (whole + part - 1) / part; }
static Index min(Index x, Index y) { return x < y ? x : y; }

// A tensor: how many matrices it is, of which size, and how they are divided into chunks.
struct Sizes {
    Index batch, rows, columns;
    Index blocks;    // chunks of a matrix
    Index together;  // matrices in a chunk
    Index chunks;
    const Index *whole;  // batch, rows and columns of the tensor that this one is a part of

    Sizes(const Job &job, Index r) {
        Index size = job.ends[r] - start_of(job, r);
        const Index flat[] = {1, 1, size}, *given = HAS_MATRICES ? job.matrices + 6 * r : flat;
        batch = given[0], rows = given[1], columns = given[2];
        whole = job.matrices + 6 * r + 3;
        Index whole = rows * columns < 1 ? 1 : rows * columns;
        blocks = rows <= BLOCK ? 1 : parts(rows, BLOCK);
        together = blocks > 1 || whole > ENOUGH ? 1 : ENOUGH / whole;
        chunks = HAS_MATRICES ? parts(batch, together) * blocks : size ? parts(size, STRETCH) : 1;
    }
};

// What a chunk covers.
struct Range {
    Index b0, b1, r0, r1, c0, c1, block;

    Range(const Sizes &x, Index chunk) {
        block = HAS_MATRICES ? chunk % x.blocks : 0;
        b0 = HAS_MATRICES ? chunk / x.blocks * x.together : 0;
        b1 = min(b0 + x.together, x.batch);
        r0 = block * BLOCK;
        r1 = min(r0 + BLOCK, x.rows);
        c0 = HAS_MATRICES ? 0 : chunk * STRETCH;
        c1 = HAS_MATRICES ? x.columns : min(c0 + STRETCH, x.columns);
    }
};

// Where the results of a tensor's reductions lie, and those of their chunks.
struct Scratch {
    char *at[SLOTS];
    Index size;

    Scratch(const Sizes &x, char *memory) : size(0) { lay_out(x, memory); }
    void lay_out(const Sizes &x, char *memory);
    void take(Index slot, Index bytes, char *memory) {
        at[slot] = memory + size;
        size += (bytes + 63) & ~(Index)63;
    }
};

// Generated: a pass over a chunk, and what follows when all chunks of a tensor are done.
static void pass(Index number, const Job &job, Index t, const Sizes &x, const Range &range,
                 Index chunk, const Scratch &scratch);
static void finish(Index number, const Job &job, Index t, const Sizes &x, const Scratch &scratch);

// One thread takes a tensor at a time, which stays in its cache through all passes.
static void one_by_one(const Job &job) {
    for (Index r = 0; r < job.rows; r++) {
        Sizes x(job, r);
        Scratch scratch(x, job.scratch);
        for (Index k = 0; k < PASSES; k++) {
            for (Index i = 0; i < x.chunks; i++) pass(k, job, r, x, Range(x, i), i, scratch);
            finish(k, job, r, x, scratch);
        }
    }
}

// A pass of all tensors together, each of which has scratch of its own.
struct Shared {
    const Job &job;
    Index number;
    const Index *begin;  // of each tensor: its first chunk and where its scratch begins, in turn
    char *memory;
};

// Every other pass goes backward: it begins with what the one before has left in the cache.
static void share_pass(const Shared &s, Index thread, Index threads) {
    Index each = parts(s.begin[2 * s.job.rows], threads), rows = s.job.rows;
    Index first = each * thread, last = first + each;
    for (Index k = 0; k < rows; k++) {
        Index r = s.number % 2 ? rows - 1 - k : k;
        const Index *begin = s.begin + 2 * r;
        if (begin[2] <= first || begin[0] >= last) continue;
        Sizes x(s.job, r);
        Scratch scratch(x, s.memory + begin[1]);
        Index i = first > begin[0] ? first - begin[0] : 0, end = min(last - begin[0], x.chunks);
        for (; i < end; i++) pass(s.number, s.job, r, x, Range(x, i), i, scratch);
    }
}

static void share_finish(const Shared &s, Index thread, Index threads) {
    for (Index r = thread; r < s.job.rows; r += threads) {
        Sizes x(s.job, r);
        finish(s.number, s.job, r, x, Scratch(x, s.memory + s.begin[2 * r + 1]));
    }
}

static void thread_pass(void *given) {
    share_pass(*(const Shared *)given, omp_get_thread_num(), omp_get_num_threads());
}

static void thread_finish(void *given) {
    share_finish(*(const Shared *)given, omp_get_thread_num(), omp_get_num_threads());
}

// Writes where the scratch of each tensor begins, behind these numbers, to the scratch's begin.
static Shared laid_out(const Job &job) {
    Index *begin = (Index *)job.scratch;
    begin[0] = begin[1] = 0;
    for (Index r = 0; r < job.rows; r++) {
        Sizes x(job, r);
        begin[2 * r + 2] = begin[2 * r] + x.chunks;
        begin[2 * r + 3] = begin[2 * r + 1] + Scratch(x, nullptr).size;
    }
    return {job, 0, begin, (char *)(begin + 2 * job.rows + 2)};
}

static void run_together(Shared &s) {
    if (has_threads(s.job)) {
        GOMP_parallel(thread_pass, &s, (unsigned)s.job.threads, 0);
        GOMP_parallel(thread_finish, &s, (unsigned)s.job.threads, 0);
    } else {
        share_pass(s, 0, 1);
        share_finish(s, 0, 1);
    }
}

static Index size_of(const Job &job, bool together) {
    Index most = 0, all = 0;
    for (Index r = 0; r < job.rows; r++) {
        Index size = Scratch(Sizes(job, r), nullptr).size;
        most = size > most ? size : most;
        all += size;
    }
    return together ? all + 16 * (job.rows + 1) : most;
}

// Returns how many bytes of scratch a job needs.
extern "C" Index scratch_size(const Job *job) { return size_of(*job, has_threads(*job)); }

extern "C" void run(const Job *job) {
    if (!has_threads(*job)) return one_by_one(*job);
    Shared s = laid_out(*job);
    for (; s.number < PASSES; s.number++) run_together(s);
}

// A job whose tensors are parts of others: somebody completes what a pass reduces to before the
// next one. Returns how many bytes of scratch that needs.
extern "C" Index scratch_size_of_parts(const Job *job) { return size_of(*job, true); }

// Tells where in the scratch the results of each tensor lie, reduction by reduction.
extern "C" void find_results(const Job *job, Index *offsets) {
    Shared s = laid_out(*job);
    for (Index r = 0; r < job->rows; r++) {
        Scratch scratch(Sizes(*job, r), s.memory + s.begin[2 * r + 1]);
        for (Index q = 0; q < SLOTS / 2; q++) *offsets++ = scratch.at[2 * q] - job->scratch;
    }
}

extern "C" void run_pass(const Job *job, Index number) {
    Shared s = laid_out(*job);
    s.number = number;
    run_together(s);
}
