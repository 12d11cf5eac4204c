"""The text of metrics/README.md around the tables: how to read them, and the notes."""

NONE = "–"  # nothing was trained, or nothing was published
NOT_BUILDABLE = "NA"  # as the original marks a depth that no n gives
ON_TEST_SET = "†"
NOT_EXACT = "‡"
STALE = "§"
BEST = f"Best epoch, % {ON_TEST_SET}"  # the column

TITLE = "CIFAR-10 ResNet: the tables"
RENDERED = (
    "This page is rendered by `dvc repro report` (`python -m stages.report`); do not edit it."
)
READING = (
    "Accuracies are percentages of all test images, measured with the saved checkpoints, except "
    f"those in the column {ON_TEST_SET}, which are from the scores during training. An accuracy "
    "marked (3 seeds) is the mean ± the sample standard deviation of three runs that differ only "
    "in their seed; a single seed has no spread. n sets the depth of the network: 6n+2 in v1 and "
    "9n+2 in v2. At 92 %, an accuracy on 10,000 test images has a standard error of 0.27 points.",
    "s/epoch is the median over all epochs but the first of each start, then over the seeds, for "
    "each device in the row. If a training was resumed on another device, or with other versions, "
    "code or environment variables, only the epochs after that count. Parameters include those "
    f"that are not trained. {NONE}: no result. {NOT_BUILDABLE}, as in the original: no n gives "
    "this depth, the paper has no such network, or the paper's network is not one of ours [2]. "
    f"{ON_TEST_SET}: the accuracy at the epoch that is best on the test set, to be compared with "
    "the original's results, which were chosen the same way. As an estimate for new images it is "
    "too high.",
    "The original is the Keras example cifar10_resnet.py. The papers are He et al. 2015, "
    "arXiv:1512.03385, and He et al. 2016, arXiv:1603.05027. The papers' results are quoted from "
    "the original, and are in tables of their own because the papers' recipe is different. A "
    "result of ours is beside a published one only if both the network and the recipe are the "
    "same; otherwise it is under Further variants, Short runs or Synthetic data. [1] to [9] refer "
    "to the notes at the end.",
    "Our results come from `metrics/runs/<variant>.json`, and how each was obtained is in "
    "`metrics/provenance/<variant>.json`. [results.csv](results.csv) has a row per seed. The "
    "published results come from `metrics/published.csv`.",
)
OTHERS = "Results of others with several seeds"  # the title of a table
OTHERS_COLUMN = "Others' results"
AGREEMENT = (
    "Our row says whether it agrees with a published result if both have the same network, form, "
    "recipe, augmentation and protocol: the last epoch is compared with the last epoch, and the "
    "best epoch on the test set with our column †. *differs*: a t test at 5 % finds a difference. "
    "*agrees*: the difference is smaller than 0.5 points (two one-sided tests at 5 %). *cannot "
    "tell*: neither; more seeds may show it. Each word is about one pair by itself. A single "
    "published run, or a median, counts as one more run whose seeds vary as ours do. The v1 "
    "results of the original count as those of our network, although its shortcuts had batch "
    "normalization then [3]."
)
NOTES = (
    "The original's v2 is wider than the network of He et al. 2016: its bottlenecks have 16, 64 "
    "and 128 channels, the paper's have 16, 32 and 64 (KaimingHe/resnet-1k-layers, "
    "resnet-pre-act.lua). ResNet164v2 has 4.94 M trainable parameters here and 1.70 M in the "
    "paper, ResNet1001v2 has 30.3 M and 10.3 M (10.2 M as printed there).",
    "The paper's result is for a network that is not one of ours, or mixes two statistics. 93.63 "
    "(ResNet110v2) is from a network of basic blocks, while v2 has bottlenecks here. 94.07 "
    "(ResNet164v1) is from a network of bottlenecks, while v1 has basic blocks here. 93.39±.16 is "
    "the mean of five runs, the best of which reached 93.57. 95.08±.14 combines a median with the "
    "spread of a mean: the mean is 95.11±.14.",
    "One run each, at the epoch with the best accuracy on the test set "
    "(keras-team/keras#10632). The v1 results were measured before the original removed batch "
    "normalization from its shortcuts (#8231, #8981).",
    "The original lowers the learning rate where `epoch > 80` and so on, with epochs counted from "
    "0: 1e-3 for 81 epochs, 1e-4 for 40, 1e-5 for 40, 1e-6 for 20, 5e-7 for 19. Our recipe "
    "`original` does the same.",
    "ReduceLROnPlateau had no effect in the original, because its scheduler sets the rate again "
    "before every epoch (#8829). Our recipe `original` does not use it.",
    "`l2(1e-4)` adds 1e-4·Σw² to the loss. Its gradient is that of a weight decay of 2e-4, and it "
    "applies to convolution kernels only. Our recipe `original` does the same.",
    "Shifts are uniform over ±3.2 pixels and filled with the nearest edge pixel. In January 2018, "
    "when these results were measured, shifted pixels were not interpolated (order 0); today's "
    "ImageDataGenerator interpolates them. `augment.order` in params.yaml selects either.",
    "With today's Keras, the original keeps no best checkpoint. `val_acc` is not the name of a "
    "metric, so saving fails after the first epoch or, with `mode='max'`, happens in every epoch. "
    "A resumed run overwrites the best file at once (#17012).",
    "Networks of the papers' form (`form: paper`): v1 has shortcuts without parameters and no "
    "biases, 269,722 trainable parameters in ResNet20v1 where the original's form has 273,066. "
    "What remains different from the papers is in docs/differences.md.",
)
NO_FULL_RUN = "No result with these networks and this recipe yet."
SHORT = "These runs have fewer epochs than their recipe: they are not comparable with full runs."
SYNTHETIC = (
    "**Not CIFAR-10**: small synthetic images that show that the pipeline works. "
    "These accuracies are not comparable with any other."
)
SCORES = (
    "NLL is the negative log likelihood of the true class, in nats, the mean over all test images "
    "and without l2 terms. ECE is the expected calibration error: the gap between accuracy and "
    "confidence, averaged over 15 bins of confidence and weighted by their images (Guo et al. "
    "2017, arXiv:1706.04599). For both, lower is better. Values are mean ± sample standard "
    "deviation over the seeds; numbers of epochs differ, so compare rows with the same number."
)
ON_TEST = (
    f"{ON_TEST_SET} The accuracy at the best epoch on the test set. As an estimate for new images "
    "it is too high."
)
OUTDATED = (
    f"{STALE} Stale: trained with other code or parameters than those of this commit, for a "
    "section that is no longer in params.yaml, or without a record of the code."
)
INEXACT = (
    f"{NOT_EXACT} Resumed under other conditions (`starts` in metrics/provenance) or on a GPU "
    "without DETERMINISTIC=1, so the weights may not be those of an uninterrupted training."
)
# the names of the pictures as a pattern, whose group is a variant, to a heading and a text
PLOTS = {
    r"learning-curves-(.*)\.svg": (
        "Learning curves",
        "The error after each epoch, a line per seed. The training error is the mean over the "
        "epoch, on augmented images, while the weights change. The test images are scored after "
        "each epoch for these curves alone, unless a table says that the epoch was chosen by them. "
        "A dashed vertical line marks a change of the learning rate, with the new rate beside it.",
    ),
    r"learning-rate\.svg": ("Learning rate", ""),
    r"accuracy-and-time\.svg": (
        "Accuracy against time",
        "Full runs beside the published results. Bars are one standard deviation to each side. A "
        "result whose seeds were trained on several devices has a point for each device, joined by "
        "a line.",
    ),
    r"accuracy-and-time-short-or-synthetic\.svg": (
        "Accuracy against time: short runs and synthetic data",
        "These are not comparable with the published results. Bars are one standard deviation to "
        "each side.",
    ),
    r"confusion\.svg": (
        "Confusion matrix",
        "The first variant with results, all seeds: of the test images of each class (row), the "
        "percentage that was classified as each class (column).",
    ),
}
