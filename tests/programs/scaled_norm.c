/* A layer and its backward pass, to stand among the operations of what `calibrant init --language c` writes. */

static double root(const double *row, int d, double eps) {
    double sum = 0;
    for (int j = 0; j < d; j++) sum += row[j] * row[j];
    return sqrt(sum / d + eps);
}

static void scaled_norm(Value *params) {
    Array x = array(member(params, "x")), w = array(member(params, "w")), y = x;
    double eps = number(member(params, "eps"));
    y.data = room((size_t)x.size * sizeof *y.data);
    for (int i = 0; i < x.size; i++) y.data[i] = x.data[i] / root(x.data + i - i % w.size, w.size, eps) * w.data[i % w.size];
    print(y);
}

static void scaled_norm_vjp(Value *params) {
    Array x = array(member(params, "x")), w = array(member(params, "w")), upstream = array(member(params, "upstream"));
    Array of_x = x, of_w = made(w, 1, w.size);
    double eps = number(member(params, "eps"));
    of_x.data = room((size_t)x.size * sizeof *of_x.data);
    for (int i = 0; i < x.size; i += w.size) {
        double *row = x.data + i, *g = upstream.data + i, r = root(row, w.size, eps), mean = 0;
        for (int j = 0; j < w.size; j++) mean += g[j] * w.data[j] * row[j] / r / w.size;
        for (int j = 0; j < w.size; j++) {
            of_x.data[i + j] = (g[j] * w.data[j] - row[j] / r * mean) / r;
            of_w.data[j] += g[j] * row[j] / r;
        }
    }
    fputc('[', out);
    print(of_x);
    fputc(',', out);
    print(of_w);
    fputc(']', out);
}
