import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
INIT = (HERE / "keras_sched" / "__init__.py").read_text(encoding="utf-8")

PLOT = ["matplotlib>=3.8"]
BEAM = ["apache-beam>=2.77"]
HUGGING_FACE = ["datasets>=3"]
EXAMPLES = [*PLOT, "optuna>=4", "scikit-learn>=1.4"]
BACKENDS = ["jax>=0.7", "optax>=0.2", "torch>=2.6"]
BENCHMARKS = [*EXAMPLES, "greenlet>=3.1", "importlib_resources>=6"]
TEST = [
    *EXAMPLES,
    *BEAM,
    *HUGGING_FACE,
    "hypothesis>=6.100",
    "importlib_resources>=6",  # TFDS 4.9.10 writes by it, and does not ask for it.
    "mypy>=1.15",
    "pytest>=8.2",
    "pytest-xdist>=3.6",
    "scipy>=1.11",
    "tensorboard>=2.20",
    "tfrecord>=1.14",
]

setup(
    name="keras_sched",
    version=re.search(r'__version__ = "(.+)"', INIT)[1],
    description="The training-recipe add-on for Keras 3: rates, images and records.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["keras_sched", "keras_sched.*"]),
    package_data={"keras_sched": ["py.typed"]},
    install_requires=[
        "google-crc32c>=1.5",
        "keras>=3.15",
        "ml-dtypes>=0.5",
        "numpy>=1.26",
        "pillow>=10.1",
        "pyarrow>=15",
        "tensorflow>=2.21",
        "tensorflow-datasets>=4.9.10",
    ],
    extras_require={
        "plot": PLOT,
        "beam": BEAM,
        "examples": EXAMPLES,
        "backends": BACKENDS,
        "benchmarks": BENCHMARKS,
        "test": TEST,
        "all": [*BACKENDS, *BENCHMARKS, *TEST],
    },
    entry_points={"console_scripts": ["keras-sched = keras_sched.__main__:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
