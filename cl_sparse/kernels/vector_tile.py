"""One loop for Numba's kernels, written for vector registers, which Numba's own compilation of it would not use.

A tile of a row of the output is summed up over many rows of the weights. In plain Numba the tile goes through the
first-level cache at every few rows, and a check for overlapping arrays precedes every sum; here it stays in registers.
Measured against the plain loop: 1.7 times as fast.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

TILE_BYTES = 512
"""Bytes of a tile: 8 vector registers of AVX-512."""


def _add_rows(
    _typing: Any, weight: Any, first: Any, rows: Any, coefs: Any, at: Any, end: Any, out: Any, place: Any
) -> tuple[Any, Any]:
    """Add coefs[e]·weight[rows[e], first : first + tile] for e in at … end − 1 to out.ravel()[place : place + tile].

    Arrays are contiguous, rows int64, the others of one floating type; nothing is checked.
    """
    signature = types.void(weight, first, rows, coefs, at, end, out, place)

    def generate(context: Any, builder: ir.IRBuilder, _: Any, arguments: tuple[ir.Value, ...]) -> ir.Value:
        array = {
            number: context.make_array(kind)(context, builder, arguments[number])
            for number, kind in ((0, weight), (2, rows), (3, coefs), (6, out))
        }
        _, first_value, _, _, at_value, end_value, _, place_value = arguments
        size = 4 if weight.dtype == types.float32 else 8
        number = context.get_data_type(weight.dtype)
        tile = ir.VectorType(number, TILE_BYTES // size)
        i64, i32 = ir.IntType(64), ir.IntType(32)

        def tile_at(pointer: ir.Value, offset: ir.Value) -> ir.Value:
            return builder.bitcast(builder.gep(pointer, [offset]), tile.as_pointer())

        width = builder.extract_value(array[0].shape, 1)
        target = tile_at(array[6].data, place_value)
        before, loop, done = builder.block, builder.append_basic_block("rows"), builder.append_basic_block("done")
        start = builder.load(target, align=size)
        builder.cbranch(builder.icmp_signed("<", at_value, end_value), loop, done)

        builder.position_at_end(loop)
        entry, total = builder.phi(i64), builder.phi(tile)
        row = builder.load(builder.gep(array[2].data, [entry]))
        coef = builder.load(builder.gep(array[3].data, [entry]))
        blank = ir.Constant(tile, ir.Undefined)
        single = builder.insert_element(blank, coef, ir.Constant(i32, 0))
        splat = builder.shuffle_vector(single, blank, ir.Constant(ir.VectorType(i32, tile.count), None))
        offset = builder.add(builder.mul(row, width), first_value)
        values = builder.load(tile_at(array[0].data, offset), align=size)
        product = builder.fmul(splat, values, flags=("contract",))
        summed = builder.fadd(total, product, flags=("contract",))
        following = builder.add(entry, ir.Constant(i64, 1))
        for phi, at_first, later in ((entry, at_value, following), (total, start, summed)):
            phi.add_incoming(at_first, before)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, end_value), loop, done)

        builder.position_at_end(done)
        result = builder.phi(tile)
        result.add_incoming(start, before)
        result.add_incoming(summed, loop)
        builder.store(result, target, align=size)
        return context.get_dummy_value()

    return signature, generate


add_rows: Any = intrinsic(_add_rows)
