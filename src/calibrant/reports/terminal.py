def summary_lines(v): return [f"{x.clause} {x.dtype} {x.status}" for x in v]
