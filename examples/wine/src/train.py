"""Trains a small classifier on chemical analyses of wines; writes metrics.json and confusion.png to results/."""

import json

import matplotlib
import pandas

matplotlib.use("Agg")
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

wines = pandas.read_csv("data/wine.csv")
features, cultivar = wines.drop(columns="cultivar"), wines["cultivar"]
x_train, x_test, y_train, y_test = train_test_split(features, cultivar, test_size=0.4, random_state=7,
                                                    stratify=cultivar)
model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(x_train, y_train)
metrics = {
    "wines": len(wines),
    "accuracy": accuracy_score(y_test, model.predict(x_test)),
    "log_loss": log_loss(y_test, model.predict_proba(x_test)),
}
with open("results/metrics.json", "w") as f:
    json.dump(metrics, f, indent=2)
ConfusionMatrixDisplay.from_estimator(model, x_test, y_test).figure_.savefig("results/confusion.png")
print(f"accuracy {metrics['accuracy']:.3f} on {len(x_test)} wines the model has not seen")
