"""The documentation site: ``uv run --group docs sphinx-build -W docs docs/_build``, without a network."""

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]  # `house`, and this copy of tinynet rather than another
# The examples' products are small: two BLAS threads would wait for each other. Before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import house  # noqa: E402

import tinynet  # noqa: E402

project = "tinynet"
author = "The tinynet authors"
project_copyright = author
release = version = tinynet.__version__
language = "en"

extensions = [
    "myst_parser",  # pages are Markdown, as they read in an editor
    "sphinx.ext.autodoc",  # the reference is made of the docstrings
    "sphinx.ext.autosummary",  # a table and a page for each public name
    "numpydoc",  # reads NumPy-style docstrings; unlike napoleon it keeps "a, b : float" and "Attributes" as they are
    "sphinx.ext.viewcode",  # "[source]": the source is the textbook
    "sphinx_design",  # the start page's cards
    "sphinx_copybutton",  # a button on each block of code
    "sphinx_gallery.gen_gallery",  # examples and lessons: run, with their plots, as notebooks
    "house",  # _extensions/house.py: formulas without a network, links to files that are not pages
]
exclude_patterns = [
    "_build",
    "course/**",  # the lessons' sources; their pages are made in lessons/
    "**/GALLERY_HEADER.rst",
    "gallery/**/*.ipynb",
    "lessons/**/*.ipynb",
]
templates_path = ["_templates"]
default_role = "py:obj"  # `Probe` in a docstring is a link where it can be
nitpicky = False  # types such as "ndarray (batch, features)" are for people

# -- Markdown ----------------------------------------------------------------------------------------------
myst_enable_extensions = ["dollarmath", "colon_fence"]  # $x$; and ::: for cards
myst_fence_as_directive = ["math"]  # ```math, as other readers of Markdown have it
myst_heading_anchors = 3  # links such as batch_norm.md#folding
myst_links_external_new_tab = False

# -- reference ---------------------------------------------------------------------------------------------
autosummary_generate = True  # into api/, anew each time: the page of a name that is gone would be left there
shutil.rmtree(HERE / "api", ignore_errors=True)
autosummary_ignore_module_all = False
autodoc_default_options = {"exclude-members": "set_fit_request, set_score_request"}  # scikit-learn's, in its words
autodoc_member_order = "bysource"  # as a reader of the file meets them
autodoc_typehints = "none"  # signature and docstring have them already, in words
autodoc_preserve_defaults = True
numpydoc_show_class_members = False  # autodoc shows them
python_use_unqualified_type_names = True

# -- gallery -----------------------------------------------------------------------------------------------
GALLERIES = {  # the scripts' folder, and that of their pages
    os.path.relpath(house.ROOT / source, HERE): pages
    for source, pages in house.GALLERIES.items()
    if (house.ROOT / source / "GALLERY_HEADER.rst").exists()
}
if "course" not in GALLERIES:  # a copy without the course: no reason to fail for the links to it
    suppress_warnings = ["ref.doc", "toc.not_readable", "myst.xref_missing"]
sphinx_gallery_conf = {
    "examples_dirs": list(GALLERIES),
    "gallery_dirs": list(GALLERIES.values()),
    "filename_pattern": r"\.py$",  # run them all
    "within_subsection_order": "house.ReadingOrder",
    "abort_on_example_error": True,
    "reference_url": {"tinynet": None},  # names in the code are links to the reference
    "doc_module": ("tinynet",),  # a page of the reference shows which examples use the name
    "backreferences_dir": "gallery/backreferences",
    "parallel": True,  # with sphinx-build -j 2: two scripts at a time (joblib, which scikit-learn brings)
    "show_memory": False,
    "show_signature": False,
    "plot_gallery": "True",
    "min_reported_time": 1e9,  # times of this machine say nothing to a reader
    "write_computation_times": False,
    # a notebook that is opened elsewhere, such as in Colab, brings tinynet with it
    "first_notebook_cell": (
        "# Installs tinynet where it is missing: from a wheel beside this notebook, or else from the package index.\n"
        "try:\n"
        "    import tinynet.course\n"
        "except ImportError:\n"
        "    %pip install --quiet --find-links . tinynet-lab\n"
        "    try:\n"
        "        import tinynet.course\n"
        "    except ImportError:\n"
        "        raise ImportError(\n"
        "            'tinynet is still missing. In a copy of its folder, `uv build` makes dist/tinynet_lab-...whl: '\n"
        "            'put it beside this notebook (Colab: the folder at the left, Upload), and run this cell again.'\n"
        "        ) from None"
    ),
}

copybutton_prompt_text = ">>> "  # of docstrings' examples only the input is copied
copybutton_selector = "div:not(.sphx-glr-script-out) > div.highlight > pre"  # not what a script printed

# -- pages -------------------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "tinynet"
html_static_path = ["_static"]
html_css_files = ["tinynet.css"]
html_favicon = "_static/tinynet.svg"
html_show_sourcelink = False
# pages without pages under them: no empty column at the left
html_sidebars = {page: [] for page in ("getting_started", "results", "performance", "reliability", "architecture")}
html_copy_source = False
html_theme_options = {
    "logo": {"text": "tinynet", "image_light": "_static/tinynet.svg", "image_dark": "_static/tinynet.svg"},
    "show_prev_next": True,
    "navigation_with_keys": False,  # arrow keys scroll wide tables
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc", "sg_download_links"],  # a notebook is one click away
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
