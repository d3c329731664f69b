"""Schedules from text, for command lines and files of settings."""

import ast
import operator

import keras

from keras_sched import schedules
from keras_sched._checks import check
from keras_sched._types import Rate
from keras_sched.schedules.fields import StockSchedule

_ARITHMETIC = {
    ast.Add: operator.add,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mult: operator.mul,
    ast.Sub: operator.sub,
}
_MISWRITTEN = SyntaxError, TypeError, ArithmeticError, RecursionError, MemoryError


def parse(text: str) -> Rate:
    """Returns the schedule that a piece of text stands for.

    The text is read, never run. It may name the schedules of this module and those of
    `keras.optimizers.schedules`, `in_epochs` and `linear_scaling`, and hold numbers,
    strings, lists and plain arithmetic; so what `repr` writes of a schedule can be read.

    Args:
        text: Such as `"Warmup(CosineAnnealing(0.1, 85 * 391), 5 * 391)"`.

    Returns:
        A schedule, or a number.

    Raises:
        ValueError: For anything else, and for arguments that the schedules refuse.

    >>> parse("OneCycle(0.4, total_steps=24 * 391)")
    OneCycle(max_learning_rate=0.4, total_steps=9384)
    """
    check(isinstance(text, str), "parse", "text", "a string", text)
    try:
        result = _read(ast.parse(text.strip(), mode="eval").body)
    except _MISWRITTEN as error:
        must = f"a schedule as one writes it ({getattr(error, 'msg', error)})"
        check(False, "parse", "text", must, text)
    rate = isinstance(result, (int, float, StockSchedule)) and result is not True
    check(rate, "parse", "text", "a schedule or a number", text)
    return result


def _read(node):
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_read(item) for item in items]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_read(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](_number(left), _number(right))
        case ast.Call(func=ast.Name(id=name), args=positional, keywords=named):
            arguments = {keyword.arg: _read(keyword.value) for keyword in named}
            return _named(name)(*map(_read, positional), **arguments)
    check(False, "parse", "text", "made of calls and numbers only", ast.unparse(node))


def _number(node):
    value = _read(node)
    real = isinstance(value, (int, float))
    check(real, "parse", "text", "arithmetic on numbers only", ast.unparse(node))
    return value


def _named(name):
    stock = vars(keras.optimizers.schedules)
    names = {n: stock[n] for n in stock if isinstance(stock[n], type)}
    names |= {n: getattr(schedules, n) for n in schedules.__all__}
    for other in ("LearningRateSchedule", "Schedule", "parse", "values"):
        del names[other]
    must = f"made of known names ({', '.join(sorted(names))})"
    check(name in names, "parse", "text", must, name)
    return names[name]
