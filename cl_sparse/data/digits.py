"""scikit-learn's bundled handwritten digits: 1,797 real 8×8 images, no files needed."""

import torch

from cl_sparse.data.image_data import ImageData, channel_statistics, make_image_data


def load_digits() -> ImageData:
    """Return the digits (values 0..16), with a fixed stratified 25 % as the test split.

    Source: UCI "Optical Recognition of Handwritten Digits", the part that scikit-learn ships.
    """
    from sklearn import datasets, model_selection  # a second of import time, paid by this data set only

    images, labels = datasets.load_digits(return_X_y=True)
    train, test, y_train, y_test = model_selection.train_test_split(
        images, labels, test_size=0.25, stratify=labels, random_state=0
    )
    x_train, x_test = (torch.from_numpy(a).to(torch.uint8).reshape(-1, 1, 8, 8) for a in (train, test))
    mean, std = channel_statistics(x_train)
    return make_image_data(
        "digits",
        (x_train, torch.from_numpy(y_train)),
        (x_test, torch.from_numpy(y_test)),
        [str(c) for c in range(10)],
        "scikit-learn digits",
        mean=mean,
        std=std,
        full_scale=16.0,
    )
