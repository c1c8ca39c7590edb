// Structures that Python fills in: a library says how large each one is and where its fields
// stand, and Python compares that with its own declaration when it loads the library.
#define AT(structure, field) __builtin_offsetof(structure, field)
#define LAYOUT(structure, ...)                                                   \
    extern "C" const long long layout_of_##structure[] = {                       \
        (long long)sizeof(structure), __VA_ARGS__, -1};
