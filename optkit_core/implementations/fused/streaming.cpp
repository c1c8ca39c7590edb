// A store fetches the line of cache that it replaces. Where nobody has read that line, and the
// caches are too small to keep it for the next step, the fetch is for nothing: such a block is
// computed aside, and goes to memory past the caches.
static const Index LARGE = 64 << 20;  // bytes of all operands

typedef float Lanes __attribute__((vector_size(16), may_alias));

#if defined(__clang__)
static inline void put_past_caches(Lanes *to, Lanes x) { __builtin_nontemporal_store(x, to); }
#elif defined(__SSE__)
static inline void put_past_caches(Lanes *to, Lanes x) { __builtin_ia32_movntps((float *)to, x); }
#else
static inline void put_past_caches(Lanes *to, Lanes x) { *to = x; }
#endif

static inline bool is_streamed(const Job &job) {
    return OVERWRITES && job.ends[job.rows - 1] * (Index)sizeof(C) * OPERANDS >= LARGE;
}

static inline void stream(void *to, const void *from, Index bytes) {
    Index whole = (Index)to % sizeof(Lanes) ? 0 : bytes / (Index)sizeof(Lanes);
    for (Index i = 0; i < whole; i++) put_past_caches((Lanes *)to + i, ((const Lanes *)from)[i]);
    Index done = whole * (Index)sizeof(Lanes);
    __builtin_memcpy((char *)to + done, (const char *)from + done, bytes - done);
}

// Other threads are to see what was stored as soon as they see that this one has ended.
static inline void end_streams() {
#if defined(__SSE__)
    __builtin_ia32_sfence();
#endif
}
