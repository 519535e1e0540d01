"""``load_dataset("saros")``: the ``datasets`` builder, its rows and fast views on them."""
