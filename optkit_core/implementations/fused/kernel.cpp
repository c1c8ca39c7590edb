// What surrounds the generated loop over the elements of a row: the division of a bucket among
// torch's own threads, and what is fetched ahead: of what the loop reads, and nothing else.
static void row(const Job &job, Index r, Index begin, Index end);

// The processor fetches ahead by itself, but not beyond a page of memory, and tensors are small.
// Within a large one it needs no help: with it, a step of plain SGD took 1.2 times as long.
static const Index BLOCK = 256;     // elements that are computed between two fetches
static const Index DISTANCE = 256;  // elements, over the rows to come, that are fetched ahead
static const Index LONG = 8192;     // elements to the end of a row from which on it is helped

struct Ahead {
    Index r, position;  // what comes next; the position counts from the bucket's first element
};

// Inlined by force: GCC takes what only prefetches for without effect, and drops its calls.
__attribute__((always_inline)) static inline void fetch(const Job &job, Ahead &ahead, Index until) {
    for (; ahead.position < until; ahead.r++) {
        Index start = start_of(job, ahead.r);
        Index stop = job.ends[ahead.r] < until ? job.ends[ahead.r] : until;
        for (Index k = 0; k < READS; k++) {
            const char *memory = (const char *)job.memory[READ[k] * job.rows + ahead.r];
            Index end = (stop - start) * WIDTHS[k];
            for (Index i = (ahead.position - start) * WIDTHS[k]; i < end; i += 64)  // a line of cache
                __builtin_prefetch(memory + i);
        }
        ahead.position = stop;
        if (stop < job.ends[ahead.r]) return;
    }
}

// Steps the elements from one to another, counted through all rows; the first row by bisection.
static void share(const Job &job, Index begin, Index end) {
    Index low = 0, high = job.rows;
    while (low < high) {
        Index middle = (low + high) / 2;
        if (job.ends[middle] <= begin) low = middle + 1; else high = middle;
    }
    Ahead ahead = {low, begin};
    for (Index r = low; begin < end; r++) {
        Index start = start_of(job, r), stop = job.ends[r] < end ? job.ends[r] : end;
        while (begin < stop) {
            Index next = begin + BLOCK < stop ? begin + BLOCK : stop;
            if (stop - next > LONG)
                ahead = {r, next};
            else
                fetch(job, ahead, next + DISTANCE < end ? next + DISTANCE : end);
            row(job, r, begin - start, next - start);
            begin = next;
        }
    }
    if (is_streamed(job)) end_streams();
}

static void work(void *given) {
    const Job &job = *(const Job *)given;
    Index total = job.ends[job.rows - 1];
    Index each = (total / omp_get_num_threads() + 64) & ~(Index)63;  // whole blocks
    Index begin = each * omp_get_thread_num();
    share(job, begin, begin + each < total ? begin + each : total);
}

extern "C" void run(const Job *job) {
    if (has_threads(*job))
        GOMP_parallel(work, (void *)job, (unsigned)job->threads, 0);
    else
        share(*job, 0, job->ends[job->rows - 1]);
}
