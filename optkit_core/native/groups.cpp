// Compares the parameter groups of an optimizer, and the dicts of its state, with what they were.
struct Groups {
    Index count, without;     // groups; parameters without a gradient
    Object list;              // of the groups
    const Object *dicts;      // the groups
    const Index *sizes;       // how many entries each of them holds
    const Object *keys;       // of the entries, one group after another
    const Object *values;     // likewise
    const Object *lists;      // of each group's parameters
    const Index *lengths;     // of these lists
    const Object *params;     // in them, one group after another
    const Object *lacking;    // the parameters without a gradient
    Index *changed;           // result: the indices of values that have changed
};
LAYOUT(Groups, AT(Groups, count), AT(Groups, without), AT(Groups, list), AT(Groups, dicts),
       AT(Groups, sizes), AT(Groups, keys), AT(Groups, values), AT(Groups, lists),
       AT(Groups, lengths), AT(Groups, params), AT(Groups, lacking), AT(Groups, changed))

static bool same_list(const Api &api, Object list, const Object *wanted, Index count) {
    if (api.length(list) != count) return false;
    for (Index i = 0; i < count; i++)
        if (api.element(list, i) != wanted[i]) return false;
    return true;
}

static const Index DIFFERENT = -1;

// Returns how many of a group's values have changed, having noted their indices.
static Index compare(const Api &api, const Groups &groups, Index group, Index first,
                     Index *changed) {
    Object key, value;
    Index position = 0, index = first, found = 0, end = first + groups.sizes[group];
    while (api.next_item(groups.dicts[group], &position, &key, &value)) {
        if (index == end || key != groups.keys[index]) return DIFFERENT;
        if (value != groups.values[index]) changed[found++] = index;
        index++;
    }
    return index == end ? found : DIFFERENT;
}

// Returns how many values of all groups have changed, or DIFFERENT where there are other groups,
// keys or parameters, or other parameters without a gradient.
extern "C" Index compare_groups(const Api *api, const Groups *groups) {
    const Object *params = groups->params;
    Index index = 0, found = 0;
    if (!same_list(*api, groups->list, groups->dicts, groups->count)) return DIFFERENT;
    for (Index g = 0; g < groups->count; g++) {
        Index more = compare(*api, *groups, g, index, groups->changed + found);
        if (more == DIFFERENT) return DIFFERENT;
        if (!same_list(*api, groups->lists[g], params, groups->lengths[g])) return DIFFERENT;
        found += more;
        index += groups->sizes[g];
        params += groups->lengths[g];
    }
    for (Index i = 0; i < groups->without; i++)
        if (!Gradient(*api, groups->lacking[i]).is_missing()) return DIFFERENT;
    return found;
}

// Returns whether a dict's values are exactly these objects, in this order.
extern "C" int same_values(const Api *api, Object dict, const Object *wanted, Index count) {
    return has_values(*api, dict, wanted, count);
}
