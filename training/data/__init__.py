"""Packed cases, folds, augmentation."""
