"""What readers that retrieve have in common: chunks, indexes, rankings and the view that is cut from them."""
