"""The 3D U-Net: configuration, stored weights, engines, prediction in windows."""
