// Arithmetic on parts of vectors that fit into the nearest cache.
typedef long long Index;

static const Index LANES = 32;

// What a register of this processor holds; a row's elements are its own alignment.
#ifdef __AVX512F__
static const Index REGISTER = 64 / sizeof(Real);
#else
static const Index REGISTER = 32 / sizeof(Real);
#endif
typedef Real Register
    __attribute__((vector_size(REGISTER * sizeof(Real)), aligned(sizeof(Real)), may_alias));

// How many rows are read at once, so that the memory has work.
static const Index MULTIPLIED = 4, ADDED = 8;

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

static bool differ(const Real *x, const Real *y, Index n) {
    int found = 0;
    for (Index i = 0; i < n; i++) found |= x[i] != y[i];
    return found;
}

// A row's product is the same whichever rows are multiplied beside it.
static void multiply_rows(const Real *const *rows, const Real *g, Index n, double *sums) {
    Register even[MULTIPLIED] = {}, odd[MULTIPLIED] = {};
    Index i = 0;
    for (; i + 2 * REGISTER <= n; i += 2 * REGISTER) {
        const Register *here = (const Register *)(g + i);
        for (Index r = 0; r < MULTIPLIED; r++) {
            const Register *own = (const Register *)(rows[r] + i);
            even[r] += own[0] * here[0];
            odd[r] += own[1] * here[1];
        }
    }
    for (Index r = 0; r < MULTIPLIED; r++) {
        double sum = 0;
        for (Index l = 0; l < REGISTER; l++) sum += (double)even[r][l] + odd[r][l];
        for (Index k = i; k < n; k++) sum += (double)rows[r][k] * g[k];
        sums[r] = sum;
    }
}

template <class T> static T added(T d, const Real *const *rows, const Real *factors, Index i) {
    T odd = {};
    for (Index r = 0; r < ADDED; r += 2) {
        d += factors[r] * *(const T *)(rows[r] + i);
        odd += factors[r + 1] * *(const T *)(rows[r + 1] + i);
    }
    return d + odd;
}

static void add_rows(Real *d, const Real *const *rows, const Real *factors, Index n) {
    Index i = 0;
    for (; i + REGISTER <= n; i += REGISTER)
        *(Register *)(d + i) = added(*(Register *)(d + i), rows, factors, i);
    for (; i < n; i++) d[i] = added(d[i], rows, factors, i);
}
