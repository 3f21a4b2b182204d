"""Images with boxes, as Pascal VOC, COCO, YOLO and CSV have them: one index whatever the format."""
