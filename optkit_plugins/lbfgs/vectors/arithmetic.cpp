// Arithmetic on parts of vectors that fit into the nearest cache.
typedef long long Index;

static const Index LANES = 32;

// What a register of this processor holds; a row's elements are its own alignment.
#ifdef __AVX512F__
static const Index BYTES = 64;
#else
static const Index BYTES = 32;
#endif
template <class T> struct Packed {
    typedef T Register __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
    static const Index width = BYTES / sizeof(T);
};

// How many rows are read at once, so that the memory has work.
static const Index MULTIPLIED = 6, ADDED = 10;

#if defined(__FMA__) || defined(__aarch64__)
static inline float multiply_add(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
static inline double multiply_add(double x, double y, double z) { return __builtin_fma(x, y, z); }
#else
template <class T> static inline T multiply_add(T x, T y, T z) { return x * y + z; }
#endif

template <class T> static typename Packed<T>::Register load(const T *x) {
    return *(const typename Packed<T>::Register *)x;
}

// The last elements of a vector, after as many zeros as fill a register.
template <class T> static typename Packed<T>::Register load_last(const T *x, Index count) {
    const Index width = Packed<T>::width;
    T elements[2 * width] = {};
    *(typename Packed<T>::Register *)(elements + count) = load(x - width);
    for (Index l = 0; l < width - count; l++) elements[count + l] = 0;
    return load(elements + count);
}

template <class T> static double sum_up(typename Packed<T>::Register x) {
    const Index width = Packed<T>::width;
    double terms[width];
    for (Index l = 0; l < width; l++) terms[l] = x[l];
    for (Index half = width / 2; half; half /= 2)
        for (Index l = 0; l < half; l++) terms[l] += terms[l + half];
    return terms[0];
}

// The products of some rows with a vector, by so many sums of each. A row's product is the same
// whichever rows are multiplied beside it.
template <Index ROWS, Index SUMS, class T>
static void multiply_rows(const T *const *rows, const T *x, Index n, double *products) {
    typedef typename Packed<T>::Register Register;
    const Index width = Packed<T>::width;
    if (n < width) {
        for (Index r = 0; r < ROWS; r++) {
            products[r] = 0;
            for (Index i = 0; i < n; i++) products[r] += (double)rows[r][i] * x[i];
        }
        return;
    }
    Register sums[ROWS][SUMS] = {};
    Index i = 0;
    for (; i + SUMS * width <= n; i += SUMS * width)
        for (Index r = 0; r < ROWS; r++)
            for (Index k = 0; k < SUMS; k++)
                sums[r][k] += load(rows[r] + i + k * width) * load(x + i + k * width);
    for (; i + width <= n; i += width)
        for (Index r = 0; r < ROWS; r++) sums[r][0] += load(rows[r] + i) * load(x + i);
    if (i < n) {
        Register last = load_last(x + n, n - i);
        for (Index r = 0; r < ROWS; r++) sums[r][1] += load(rows[r] + n - width) * last;
    }
    for (Index r = 0; r < ROWS; r++) {
        for (Index k = 1; k < SUMS; k++) sums[r][0] += sums[r][k];
        products[r] = sum_up<T>(sums[r][0]);
    }
}

template <class T> static double dot(const T *x, const T *y, Index n) {
    double product;
    multiply_rows<1, 4>(&x, y, n, &product);
    return product;
}

// The products of the rows of a matrix with a vector.
static void multiply_matrix(const double *matrix, Index width, Index count, const double *x,
                            double *products) {
    Index j = 0;
    for (; j + MULTIPLIED <= count; j += MULTIPLIED) {
        const double *rows[MULTIPLIED];
        for (Index r = 0; r < MULTIPLIED; r++) rows[r] = matrix + (j + r) * width;
        multiply_rows<MULTIPLIED, 2>(rows, x, count, products + j);
    }
    for (; j < count; j++) products[j] = dot(matrix + j * width, x, count);
}

// What isn't finite shows in the differences, which are 0 for all other numbers, and gives NaN.
static double largest(const Real *x, Index n) {
    Real most[LANES] = {}, differences[LANES] = {};
    Index i = 0;
    for (; i + LANES <= n; i += LANES)
        for (Index l = 0; l < LANES; l++) {
            Real size = x[i + l] < 0 ? -x[i + l] : x[i + l];
            most[l] = size > most[l] ? size : most[l];
            differences[l] += size - size;
        }
    for (Index l = 0; i + l < n; l++) {
        Real size = x[i + l] < 0 ? -x[i + l] : x[i + l];
        most[l] = size > most[l] ? size : most[l];
        differences[l] += size - size;
    }
    double greatest = 0, sum = 0;
    for (Index l = 0; l < LANES; l++) {
        greatest = most[l] > greatest ? most[l] : greatest;
        sum += differences[l];
    }
    return sum == sum ? greatest : sum;
}

static bool differ(const Real *x, const Real *y, Index n) {
    int is_different = 0;
    for (Index i = 0; i < n; i++) is_different |= x[i] != y[i];
    return is_different;
}

template <class R, class T>
static R added(R sum, const T *const *rows, const T *factors, Index i) {
    R odd = {};
    for (Index r = 0; r < ADDED; r += 2) {
        sum += factors[r] * *(const R *)(rows[r] + i);
        odd += factors[r + 1] * *(const R *)(rows[r + 1] + i);
    }
    return sum + odd;
}

template <class T> static void store(T *x, typename Packed<T>::Register value) {
    *(typename Packed<T>::Register *)x = value;
}

// Add some rows, each times its factor, to a vector. The last register overlaps the one before it,
// and is made before that one is stored.
template <class T>
static void add_rows(T *sum, const T *const *rows, const T *factors, Index n) {
    const Index width = Packed<T>::width, tail = n - width;
    if (tail < 0) {
        for (Index i = 0; i < n; i++) sum[i] = added(sum[i], rows, factors, i);
        return;
    }
    typename Packed<T>::Register last = added(load(sum + tail), rows, factors, tail);
    for (Index i = 0; i < tail; i += width)
        store(sum + i, added(load(sum + i), rows, factors, i));
    store(sum + tail, last);
}

// The sum of the rows of a matrix, each times its factor.
static void combine_matrix(const double *matrix, Index width, Index count, const double *factors,
                           double *sum) {
    for (Index k = 0; k < count; k++) sum[k] = 0;
    for (Index j = 0; j < count; j += ADDED) {
        const double *rows[ADDED];
        double chosen[ADDED] = {};
        for (Index r = 0; r < ADDED; r++) {
            Index last = j + r < count ? j + r : count - 1;
            rows[r] = matrix + last * width;
            if (j + r < count) chosen[r] = factors[last];
        }
        add_rows(sum, rows, chosen, count);
    }
}
